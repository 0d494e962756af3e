//! OpenSSL, and what stands on it: TLS between a server and a client with certificates made here, libcurl as a client of HTTPS, libssh2.

use openssl::asn1::{Asn1Integer, Asn1Time};
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkcs12::Pkcs12;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::sign::{Signer, Verifier};
use openssl::ssl::{SslAcceptor, SslConnector, SslMethod, SslVerifyMode, SslVersion};
use openssl::symm::{Cipher, decrypt_aead, encrypt_aead};
use openssl::x509::extension::{BasicConstraints, KeyUsage, SubjectAlternativeName};
use openssl::x509::store::X509StoreBuilder;
use openssl::x509::{X509, X509NameBuilder};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// A certificate of `name`, signed by an authority or by itself.
fn certificate(name: &str, key: &PKey<Private>, by: Option<(&X509, &PKey<Private>)>) -> X509 {
    let mut subject = X509NameBuilder::new().unwrap();
    subject.append_entry_by_text("CN", name).unwrap();
    let subject = subject.build();
    let mut builder = X509::builder().unwrap();
    builder.set_version(2).unwrap();
    let serial = BigNum::from_u32(if by.is_some() { 2 } else { 1 }).unwrap();
    builder
        .set_serial_number(&Asn1Integer::from_bn(&serial).unwrap())
        .unwrap();
    builder.set_subject_name(&subject).unwrap();
    builder
        .set_issuer_name(by.map_or(&subject, |(issuer, _)| issuer.subject_name()))
        .unwrap();
    builder.set_pubkey(key).unwrap();
    builder
        .set_not_before(&Asn1Time::days_from_now(0).unwrap())
        .unwrap();
    builder
        .set_not_after(&Asn1Time::days_from_now(10).unwrap())
        .unwrap();
    if by.is_none() {
        builder
            .append_extension(BasicConstraints::new().critical().ca().build().unwrap())
            .unwrap();
        builder
            .append_extension(KeyUsage::new().critical().key_cert_sign().build().unwrap())
            .unwrap();
    } else {
        let context = builder.x509v3_context(by.map(|(issuer, _)| &**issuer), None);
        let names = SubjectAlternativeName::new()
            .dns(name)
            .ip("127.0.0.1")
            .build(&context)
            .unwrap();
        builder.append_extension(names).unwrap();
    }
    builder
        .sign(by.map_or(key, |(_, key)| key), MessageDigest::sha256())
        .unwrap();
    builder.build()
}

fn primitives() {
    let digest = openssl::sha::sha256(b"abc");
    println!("sha256: {:02x}{:02x}", digest[0], digest[31]);
    let (key, nonce) = ([7; 32], [9; 12]);
    let mut tag = [0; 16];
    let sealed = encrypt_aead(
        Cipher::aes_256_gcm(),
        &key,
        Some(&nonce),
        b"along",
        b"secret",
        &mut tag,
    )
    .unwrap();
    let opened = decrypt_aead(
        Cipher::aes_256_gcm(),
        &key,
        Some(&nonce),
        b"along",
        &sealed,
        &tag,
    )
    .unwrap();
    println!(
        "sealed: {:02x}{:02x} tag {:02x}, opened: {:?}",
        sealed[0],
        sealed[5],
        tag[0],
        String::from_utf8_lossy(&opened)
    );
    println!(
        "with another tag: {}",
        decrypt_aead(
            Cipher::aes_256_gcm(),
            &key,
            Some(&nonce),
            b"",
            &sealed,
            &tag
        )
        .is_err()
    );
    let rsa = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
    let mut signer = Signer::new(MessageDigest::sha256(), &rsa).unwrap();
    signer.update(b"text").unwrap();
    let signature = signer.sign_to_vec().unwrap();
    let mut verifier = Verifier::new(MessageDigest::sha256(), &rsa).unwrap();
    verifier.update(b"text").unwrap();
    println!(
        "rsa: {} bytes, {}",
        signature.len(),
        verifier.verify(&signature).unwrap()
    );
    let ed = PKey::generate_ed25519().unwrap();
    let signature = Signer::new_without_digest(&ed)
        .unwrap()
        .sign_oneshot_to_vec(b"text")
        .unwrap();
    println!(
        "ed25519: {}",
        Verifier::new_without_digest(&ed)
            .unwrap()
            .verify_oneshot(&signature, b"text")
            .unwrap()
    );
    let mut random = [0; 32];
    openssl::rand::rand_bytes(&mut random).unwrap();
    println!("random: {}", random.iter().any(|byte| *byte != 0));
    let mut derived = [0; 16];
    openssl::pkcs5::pbkdf2_hmac(
        b"password",
        b"salt",
        1000,
        MessageDigest::sha1(),
        &mut derived,
    )
    .unwrap();
    println!("pbkdf2: {derived:02x?}");
}

/// Answers requests of HTTP over TLS, each connection on a thread; the connections that failed.
fn serve(listener: TcpListener, acceptor: Arc<SslAcceptor>, connections: usize) -> usize {
    let threads: Vec<_> = (0..connections)
        .map(|_| {
            let (socket, _) = listener.accept().unwrap();
            let acceptor = acceptor.clone();
            thread::spawn(move || {
                let Ok(mut stream) = acceptor.accept(socket) else {
                    return false;
                };
                let mut lines = BufReader::new(&mut stream).lines();
                // A client of TLS 1.3 that does not trust the certificate goes when the handshake is over.
                let Some(Ok(first)) = lines.next() else {
                    return false;
                };
                let rest = lines
                    .map_while(Result::ok)
                    .take_while(|line| !line.is_empty());
                rest.for_each(drop);
                let body = format!("{first} {}", "x".repeat(100_000));
                write!(
                    stream,
                    "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                    body.len()
                )
                .unwrap();
                let _ = stream.shutdown();
                true
            })
        })
        .collect();
    threads
        .into_iter()
        .map(|thread| thread.join().unwrap())
        .filter(|is_well| !is_well)
        .count()
}

fn tls() {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    let ec = || PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
    let (authority_key, key) = (ec(), ec());
    let authority = certificate("authority", &authority_key, None);
    let own = certificate("localhost", &key, Some((&authority, &authority_key)));
    println!("signed: {}", own.verify(&authority_key).unwrap());
    let packed = Pkcs12::builder()
        .name("own")
        .pkey(&key)
        .cert(&own)
        .build2("word")
        .unwrap()
        .to_der()
        .unwrap();
    let unpacked = Pkcs12::from_der(&packed).unwrap().parse2("word").unwrap();
    println!(
        "packed: {}",
        unpacked.cert.unwrap().to_pem().unwrap() == own.to_pem().unwrap()
    );
    std::fs::write("authority.pem", authority.to_pem().unwrap()).unwrap();

    let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls()).unwrap();
    acceptor.set_private_key(&key).unwrap();
    acceptor.set_certificate(&own).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let acceptor = Arc::new(acceptor.build());
    let server = thread::spawn(move || serve(listener, acceptor, 6));
    for (version, is_trusted) in [
        (SslVersion::TLS1_3, true),
        (SslVersion::TLS1_2, true),
        (SslVersion::TLS1_3, false),
    ] {
        let mut connector = SslConnector::builder(SslMethod::tls()).unwrap();
        connector.set_min_proto_version(Some(version)).unwrap();
        connector.set_max_proto_version(Some(version)).unwrap();
        connector.set_verify(SslVerifyMode::PEER);
        if is_trusted {
            let mut store = X509StoreBuilder::new().unwrap();
            store.add_cert(authority.clone()).unwrap();
            connector.set_verify_cert_store(store.build()).unwrap();
        }
        match connector
            .build()
            .connect("localhost", TcpStream::connect(address).unwrap())
        {
            Ok(mut stream) => {
                write!(
                    stream,
                    "GET /{} HTTP/1.1\r\n\r\n",
                    stream.ssl().version_str().to_owned()
                )
                .unwrap();
                let mut answer = String::new();
                stream.read_to_string(&mut answer).unwrap();
                println!(
                    "{}: {} bytes, {:?}",
                    stream.ssl().version_str(),
                    answer.len(),
                    answer.lines().last().map(|line| &line[..20])
                );
            }
            Err(error) => println!(
                "not trusted: {}",
                error.to_string().contains("certificate verify failed")
            ),
        }
    }
    for (path, is_trusted) in [("one", true), ("two", true), ("three", false)] {
        let mut easy = curl::easy::Easy::new();
        easy.url(&format!("https://127.0.0.1:{}/{path}", address.port()))
            .unwrap();
        easy.timeout(Duration::from_secs(120)).unwrap();
        if is_trusted {
            easy.cainfo("authority.pem").unwrap();
        }
        let mut body = Vec::new();
        let done = {
            let mut transfer = easy.transfer();
            transfer
                .write_function(|data| {
                    body.extend_from_slice(data);
                    Ok(data.len())
                })
                .unwrap();
            transfer.perform()
        };
        match done {
            Ok(()) => println!(
                "curl {}: {} {:?}",
                easy.response_code().unwrap(),
                body.len(),
                String::from_utf8_lossy(&body[..9])
            ),
            Err(error) => println!(
                "curl, not trusted: {}",
                error.is_peer_failed_verification() || error.is_ssl_cacert()
            ),
        }
    }
    println!("connections refused by clients: {}", server.join().unwrap());
}

/// libssh2 against somebody who is no SSH server.
fn ssh() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let other = thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let mut first = String::new();
        BufReader::new(socket.try_clone().unwrap())
            .read_line(&mut first)
            .unwrap();
        socket.write_all(b"SSH-2.0-none\r\n\0\0\0\0").unwrap();
        first
    });
    let mut session = ssh2::Session::new().unwrap();
    session.set_tcp_stream(TcpStream::connect(address).unwrap());
    println!(
        "handshake with nobody: {:?}",
        session.handshake().map_err(|error| error.code()).is_err()
    );
    println!(
        "greeting: {}",
        other.join().unwrap().starts_with("SSH-2.0-libssh2")
    );
}

fn main() {
    println!("{}", openssl::version::version());
    primitives();
    tls();
    ssh();
    println!(
        "curl {}",
        curl::Version::get().version().split('.').next().unwrap()
    );
    println!("all done");
}
