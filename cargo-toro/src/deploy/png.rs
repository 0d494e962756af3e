//! Pictures of the screen: QEMU before 7.1 makes them as PPM (netpbm's format P6), later ones as PNG (W3C PNG, third edition).

use anyhow::{Context, Result, bail};
use flate2::{Compression, write::ZlibEncoder};
use std::io::Write;

const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";
/// No screen is larger.
const MAX_SIDE: u32 = 16_384;

/// The PNG of a screenshot in either format.
pub(super) fn from_screenshot(picture: Vec<u8>) -> Result<Vec<u8>> {
    if picture.starts_with(SIGNATURE) {
        return Ok(picture);
    }
    let (width, height, pixels) = ppm(&picture).context("libvirt sent no picture")?;
    encode(width, height, pixels)
}

/// Width, height, and three bytes for each pixel.
fn ppm(picture: &[u8]) -> Option<(u32, u32, &[u8])> {
    let mut rest = picture.strip_prefix(b"P6")?;
    let mut number = || {
        let start = rest.iter().position(|byte| !byte.is_ascii_whitespace())?;
        rest = &rest[start..];
        let end = rest.iter().position(|byte| !byte.is_ascii_digit())?;
        let value: u32 = std::str::from_utf8(&rest[..end]).ok()?.parse().ok()?;
        rest = &rest[end..];
        Some(value)
    };
    let (width, height, most) = (number()?, number()?, number()?);
    let is_sound =
        most == 255 && (1..=MAX_SIDE).contains(&width) && (1..=MAX_SIDE).contains(&height);
    let pixels = rest.get(1..)?.get(..width as usize * height as usize * 3)?;
    is_sound.then_some((width, height, pixels))
}

fn encode(width: u32, height: u32, pixels: &[u8]) -> Result<Vec<u8>> {
    let mut packed = ZlibEncoder::new(Vec::new(), Compression::default());
    for line in pixels.chunks_exact(width as usize * 3) {
        // Each line begins with the number of its filter: none.
        packed.write_all(&[0])?;
        packed.write_all(line)?;
    }
    let mut header = Vec::new();
    header.extend(width.to_be_bytes());
    header.extend(height.to_be_bytes());
    // Eight bits a channel, red, green and blue; the only compression and filter method, not interlaced.
    header.extend([8, 2, 0, 0, 0]);
    let mut png = SIGNATURE.to_vec();
    chunk(&mut png, b"IHDR", &header)?;
    chunk(&mut png, b"IDAT", &packed.finish()?)?;
    chunk(&mut png, b"IEND", &[])?;
    Ok(png)
}

fn chunk(png: &mut Vec<u8>, kind: &[u8; 4], content: &[u8]) -> Result<()> {
    let Ok(len) = u32::try_from(content.len()) else {
        bail!("the picture is too large")
    };
    png.extend(len.to_be_bytes());
    png.extend(kind);
    png.extend(content);
    let mut check = crc32fast::Hasher::new();
    check.update(kind);
    check.update(content);
    png.extend(check.finalize().to_be_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ppm_becomes_a_png_with_the_same_pixels() {
        let png = from_screenshot(b"P6\n2 1\n255\n\x01\x02\x03\x04\x05\x06".to_vec()).unwrap();
        assert!(png.starts_with(SIGNATURE));
        assert_eq!(&png[16..24], [0, 0, 0, 2, 0, 0, 0, 1]);
        let len = u32::from_be_bytes(png[33..37].try_into().unwrap()) as usize;
        assert_eq!(&png[37..41], b"IDAT");
        let mut lines = Vec::new();
        std::io::copy(
            &mut flate2::read::ZlibDecoder::new(&png[41..41 + len]),
            &mut lines,
        )
        .unwrap();
        assert_eq!(lines, [0, 1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn what_is_no_picture_is_refused() {
        for bad in [
            &b""[..],
            b"P6",
            b"P6 2 1 255\n\x01",
            b"P6 0 1 255\n",
            b"P6 99999 99999 255\n",
        ] {
            assert!(from_screenshot(bad.to_vec()).is_err(), "{bad:?}");
        }
        let png = [SIGNATURE, b"rest"].concat();
        assert_eq!(from_screenshot(png.clone()).unwrap(), png);
    }
}
