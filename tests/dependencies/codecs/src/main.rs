//! Libraries of C that pack and look for text: each packs, unpacks and compares.

use std::io::{Read, Write};

fn packed_and_unpacked(name: &str, data: &[u8], packed: &[u8], unpacked: &[u8]) {
    assert!(packed.len() < data.len() && unpacked == data, "{name}");
    println!("{name}: {} bytes are {} packed", data.len(), packed.len());
}

fn main() {
    let data: Vec<u8> = (0..200_000_u32).flat_map(|n| format!("line {} of {}\n", n % 977, n / 100).into_bytes()).collect();

    let packed = zstd::encode_all(&data[..], 3).unwrap();
    packed_and_unpacked("zstd", &data, &packed, &zstd::decode_all(&packed[..]).unwrap());
    let mut encoder = zstd::Encoder::new(Vec::new(), 5).unwrap();
    encoder.write_all(&data).unwrap();
    let packed = encoder.finish().unwrap();
    packed_and_unpacked("zstd stream", &data, &packed, &zstd::decode_all(&packed[..]).unwrap());

    let packed = lz4::block::compress(&data, None, true).unwrap();
    packed_and_unpacked("lz4", &data, &packed, &lz4::block::decompress(&packed, None).unwrap());

    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(&data).unwrap();
    let packed = encoder.finish().unwrap();
    let mut unpacked = Vec::new();
    flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut unpacked).unwrap();
    packed_and_unpacked("zlib", &data, &packed, &unpacked);

    let (mut packed, mut unpacked) = (Vec::new(), Vec::new());
    bzip2::read::BzEncoder::new(&data[..], bzip2::Compression::best()).read_to_end(&mut packed).unwrap();
    bzip2::read::BzDecoder::new(&packed[..]).read_to_end(&mut unpacked).unwrap();
    packed_and_unpacked("bzip2", &data, &packed, &unpacked);

    let (mut packed, mut unpacked) = (Vec::new(), Vec::new());
    xz2::read::XzEncoder::new(&data[..100_000], 6).read_to_end(&mut packed).unwrap();
    xz2::read::XzDecoder::new(&packed[..]).read_to_end(&mut unpacked).unwrap();
    packed_and_unpacked("xz", &data[..100_000], &packed, &unpacked);

    let regex = onig::Regex::new(r"(\w+)\s+(\d+) of (?=19)").unwrap();
    let text = std::str::from_utf8(&data).unwrap();
    println!("onig: {:?}", regex.captures(text).and_then(|found| found.at(2).map(str::to_string)));

    println!("blake3: {}", blake3::hash(b"abc"));
    assert_eq!(blake3::hash(b"abc").to_hex().as_str(), "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85");
    println!("all done");
}
