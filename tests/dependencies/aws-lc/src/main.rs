//! What services call of AWS-LC: digests, sealing, signatures, agreement on keys; and TLS 1.3 and 1.2 with rustls, over the loopback.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use aws_lc_rs::{aead, agreement, digest, hkdf, hmac, rand};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, Stream,
};

fn digests() {
    let hex = |bytes: &[u8]| {
        bytes
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    };
    // FIPS 180-4: the digest of "abc".
    assert_eq!(
        hex(digest::digest(&digest::SHA256, b"abc").as_ref()),
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    );
    let key = hmac::Key::new(hmac::HMAC_SHA512, b"key");
    let tag = hmac::sign(&key, b"message");
    assert!(hmac::verify(&key, b"message", tag.as_ref()).is_ok());
    assert!(hmac::verify(&key, b"other", tag.as_ref()).is_err());
    let secret = hkdf::Salt::new(hkdf::HKDF_SHA256, b"salt").extract(b"secret");
    let mut out = [0; 32];
    secret
        .expand(&[b"info"], hkdf::HKDF_SHA256)
        .unwrap()
        .fill(&mut out)
        .unwrap();
    println!("digests: {}", out != [0; 32]);
}

fn sealing() {
    for algorithm in [
        &aead::AES_128_GCM,
        &aead::AES_256_GCM,
        &aead::CHACHA20_POLY1305,
    ] {
        let mut key = vec![0; algorithm.key_len()];
        rand::fill(&mut key).unwrap();
        let key = aead::LessSafeKey::new(aead::UnboundKey::new(algorithm, &key).unwrap());
        let nonce = || aead::Nonce::assume_unique_for_key([7; 12]);
        let mut text = b"sealed".to_vec();
        key.seal_in_place_append_tag(nonce(), aead::Aad::from(b"more"), &mut text)
            .unwrap();
        let mut broken = text.clone();
        broken[0] ^= 1;
        assert!(
            key.open_in_place(nonce(), aead::Aad::from(b"more"), &mut broken)
                .is_err()
        );
        assert_eq!(
            key.open_in_place(nonce(), aead::Aad::from(b"more"), &mut text)
                .unwrap(),
            b"sealed"
        );
    }
    println!("sealed and opened");
}

fn keys() {
    let random = SystemRandom::new();
    let document =
        EcdsaKeyPair::generate_pkcs8(&signature::ECDSA_P256_SHA256_ASN1_SIGNING, &random).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(
        &signature::ECDSA_P256_SHA256_ASN1_SIGNING,
        document.as_ref(),
    )
    .unwrap();
    let signed = pair.sign(&random, b"message").unwrap();
    let public =
        signature::UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_ASN1, pair.public_key());
    assert!(public.verify(b"message", signed.as_ref()).is_ok());
    assert!(public.verify(b"massage", signed.as_ref()).is_err());
    let pair = Ed25519KeyPair::generate().unwrap();
    let public = signature::UnparsedPublicKey::new(&signature::ED25519, pair.public_key());
    assert!(
        public
            .verify(b"message", pair.sign(b"message").as_ref())
            .is_ok()
    );
    let one = agreement::EphemeralPrivateKey::generate(&agreement::X25519, &random).unwrap();
    let other = agreement::EphemeralPrivateKey::generate(&agreement::X25519, &random).unwrap();
    let (of_one, of_other) = (
        one.compute_public_key().unwrap(),
        other.compute_public_key().unwrap(),
    );
    let agree = |own, peer: &agreement::PublicKey| {
        let peer = agreement::UnparsedPublicKey::new(&agreement::X25519, peer);
        agreement::agree_ephemeral(own, &peer, (), |secret| Ok(secret.to_vec())).unwrap()
    };
    assert_eq!(agree(one, &of_other), agree(other, &of_one));
    println!("signed, verified and agreed");
}

fn tls(version: &'static rustls::SupportedProtocolVersion) {
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["machine.test".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let server = ServerConfig::builder_with_protocol_versions(&[version])
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).unwrap();
    let client = ClientConfig::builder_with_protocol_versions(&[version])
        .with_root_certificates(roots)
        .with_no_client_auth();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answering = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut connection = ServerConnection::new(Arc::new(server)).unwrap();
        let mut tls = Stream::new(&mut connection, &mut stream);
        let mut question = [0; 5];
        tls.read_exact(&mut question).unwrap();
        tls.write_all(b"answer to ").unwrap();
        tls.write_all(&question).unwrap();
        connection.send_close_notify();
        connection.complete_io(&mut stream).unwrap();
    });
    let mut stream = TcpStream::connect(address).unwrap();
    let name = ServerName::try_from("machine.test").unwrap();
    let mut connection = ClientConnection::new(Arc::new(client), name).unwrap();
    let mut tls = Stream::new(&mut connection, &mut stream);
    tls.write_all(b"hello").unwrap();
    let mut answer = String::new();
    tls.read_to_string(&mut answer).unwrap();
    println!(
        "{:?}, {:?}: {answer}",
        connection.protocol_version().unwrap(),
        connection
            .negotiated_key_exchange_group()
            .map(|group| group.name())
    );
    answering.join().unwrap();
}

fn main() {
    digests();
    sealing();
    keys();
    tls(&rustls::version::TLS13);
    tls(&rustls::version::TLS12);
    println!("all done");
}
