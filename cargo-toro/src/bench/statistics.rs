//! Medians, and the smallest size that works.

/// The median; `None` of nothing.
pub(super) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    Some(if sorted.len().is_multiple_of(2) {
        (sorted[middle - 1] + upper) / 2.0
    } else {
        upper
    })
}

/// The smallest number of `range` for which `works` is true, if everything above one that works does too: found by
/// halving, so after few tries. `None` if even the largest does not work.
pub(super) fn smallest<E>(
    range: std::ops::RangeInclusive<u64>,
    mut works: impl FnMut(u64) -> Result<bool, E>,
) -> Result<Option<u64>, E> {
    let (mut low, mut high) = range.into_inner();
    if !works(high)? {
        return Ok(None);
    }
    while low < high {
        let middle = low + (high - low) / 2;
        if works(middle)? {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    Ok(Some(high))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0]), Some(3.0));
        assert_eq!(median(&[9.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 100.0, 2.0]), Some(3.0));
    }

    #[test]
    fn the_smallest_that_works_is_found_in_few_tries() {
        for threshold in 2..=64 {
            let mut tries = 0;
            let found = smallest(2..=64, |size| {
                tries += 1;
                Ok::<_, Infallible>(size >= threshold)
            });
            assert_eq!(found, Ok(Some(threshold)));
            assert!(tries <= 7, "{tries} tries for {threshold}");
        }
    }

    #[test]
    fn nothing_is_found_where_the_largest_fails() {
        assert_eq!(smallest(1..=8, |_| Ok::<_, Infallible>(false)), Ok(None));
    }

    #[test]
    fn an_error_ends_the_search() {
        assert_eq!(
            smallest(1..=8, |size| if size == 8 { Ok(true) } else { Err(size) }),
            Err(4)
        );
    }
}
