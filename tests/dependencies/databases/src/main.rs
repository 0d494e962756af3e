//! SQLite in a file and in memory, and the cryptography of ring.

use ring::{aead, digest, hmac, rand, signature};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for place in [":memory:", "/data.sqlite"] {
        let base = rusqlite::Connection::open(place)?;
        base.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE words (id INTEGER PRIMARY KEY, word TEXT, at REAL)")?;
        for number in 0..500 {
            base.execute("INSERT INTO words (word, at) VALUES (?1, ?2)", (format!("word {number}"), f64::from(number) / 3.0))?;
        }
        let sum: f64 = base.query_row("SELECT round(sum(at), 3) FROM words WHERE word LIKE 'word 4%'", [], |row| row.get(0))?;
        let time: String = base.query_row("SELECT strftime('%Y', 'now', 'localtime')", [], |row| row.get(0))?;
        println!("sqlite {place}: {sum} {}", time.len());
    }

    println!("sha256 {:?}", digest::digest(&digest::SHA256, b"abc"));
    let random = rand::SystemRandom::new();
    let key = hmac::Key::generate(hmac::HMAC_SHA256, &random).map_err(|_| "a key")?;
    hmac::verify(&key, b"text", hmac::sign(&key, b"text").as_ref()).map_err(|_| "hmac")?;
    let key = aead::LessSafeKey::new(aead::UnboundKey::new(&aead::AES_256_GCM, &[7; 32]).map_err(|_| "a key")?);
    let mut text = b"secret".to_vec();
    let nonce = || aead::Nonce::assume_unique_for_key([1; 12]);
    key.seal_in_place_append_tag(nonce(), aead::Aad::empty(), &mut text).map_err(|_| "seal")?;
    println!("aes {:?}", key.open_in_place(nonce(), aead::Aad::empty(), &mut text).map(|text| String::from_utf8_lossy(text).into_owned()));
    let pair = signature::Ed25519KeyPair::from_seed_unchecked(&[3; 32]).map_err(|_| "a pair")?;
    let public = signature::UnparsedPublicKey::new(&signature::ED25519, signature::KeyPair::public_key(&pair).as_ref().to_vec());
    println!("ed25519 {:?}", public.verify(b"text", pair.sign(b"text").as_ref()).is_ok());
    println!("all done");
    Ok(())
}
