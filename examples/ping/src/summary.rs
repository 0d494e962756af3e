//! What is said at the end.

use std::fmt::Write;
use std::time::Duration;

/// Requests and answers.
#[derive(Default)]
pub(crate) struct Summary {
    pub(crate) sent: u32,
    /// Seconds.
    times: Vec<f64>,
}

impl Summary {
    /// Counts an answer.
    pub(crate) fn add(&mut self, round_trip: Duration) {
        self.times.push(round_trip.as_secs_f64());
    }

    /// How many answers there were.
    pub(crate) fn received(&self) -> usize {
        self.times.len()
    }

    /// Packets and loss; then the least, mean and greatest time, and how far times are from the mean.
    pub(crate) fn text(&self, elapsed: Duration) -> String {
        let received = self.received();
        let lost = f64::from(self.sent) - received as f64;
        let loss = 100.0 * lost / f64::from(self.sent.max(1));
        let mut text = format!(
            "{} packets transmitted, {received} received, {loss:.0}% packet loss, time {} ms\n",
            self.sent,
            elapsed.as_millis()
        );
        if received == 0 {
            return text;
        }
        let least = self.times.iter().copied().fold(f64::INFINITY, f64::min);
        let most = self.times.iter().copied().fold(0.0, f64::max);
        let mean = self.times.iter().sum::<f64>() / received as f64;
        let squares: f64 = self.times.iter().map(|time| (time - mean).powi(2)).sum();
        let deviation = (squares / received as f64).sqrt();
        let [least, mean, most, deviation] = [least, mean, most, deviation].map(|s| s * 1e3);
        let written = writeln!(
            text,
            "rtt min/avg/max/mdev = {least:.3}/{mean:.3}/{most:.3}/{deviation:.3} ms"
        );
        debug_assert!(written.is_ok(), "text takes everything");
        text
    }
}

#[cfg(test)]
mod tests {
    use super::Summary;
    use std::time::Duration;

    #[test]
    fn times_and_losses_are_summed_up() {
        let mut summary = Summary {
            sent: 4,
            ..Summary::default()
        };
        for milliseconds in [1, 3] {
            summary.add(Duration::from_millis(milliseconds));
        }
        let text = summary.text(Duration::from_millis(3010));
        assert_eq!(
            text,
            "4 packets transmitted, 2 received, 50% packet loss, time 3010 ms\n\
             rtt min/avg/max/mdev = 1.000/2.000/3.000/1.000 ms\n"
        );
    }

    #[test]
    fn without_an_answer_there_are_no_times() {
        let summary = Summary {
            sent: 2,
            ..Summary::default()
        };
        let text = summary.text(Duration::from_secs(2));
        assert_eq!(
            text,
            "2 packets transmitted, 0 received, 100% packet loss, time 2000 ms\n"
        );
    }
}
