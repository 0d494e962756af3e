//! Larger libraries of C: a repository of git, a handshake of OpenSSL, a script in QuickJS, a picture by mozjpeg, bytes by libdeflate.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::{fs, thread};

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// Commits twice, goes back to the first, and clones.
fn repository() -> Outcome {
    let folder = Path::new("/tmp/repository");
    fs::create_dir_all("/tmp")?;
    let repository = git2::Repository::init(folder)?;
    let author = git2::Signature::now("somebody", "somebody@example.org")?;
    let commit = |text: &str| -> Result<git2::Oid, Box<dyn std::error::Error>> {
        fs::write(folder.join("file"), text)?;
        let mut index = repository.index()?;
        index.add_path(Path::new("file"))?;
        index.write()?;
        let tree = repository.find_tree(index.write_tree()?)?;
        let parent = match repository.head() {
            Ok(head) => Some(head.peel_to_commit()?),
            Err(_) => None,
        };
        let parents: Vec<_> = parent.iter().collect();
        Ok(repository.commit(Some("HEAD"), &author, &author, text, &tree, &parents)?)
    };
    let first = commit("first\n")?;
    commit("second\n")?;
    let mut walk = repository.revwalk()?;
    walk.push_head()?;
    assert_eq!(walk.count(), 2);
    let (old, new) = (
        repository.find_commit(first)?.tree()?,
        repository.head()?.peel_to_tree()?,
    );
    let difference = repository.diff_tree_to_tree(Some(&old), Some(&new), None)?;
    let stats = difference.stats()?;
    assert_eq!((stats.insertions(), stats.deletions()), (1, 1));
    let clone = git2::Repository::clone("/tmp/repository", "/tmp/clone")?;
    assert_eq!(fs::read_to_string("/tmp/clone/file")?, "second\n");
    let object = clone.find_object(first, None)?;
    clone.reset(&object, git2::ResetType::Hard, None)?;
    assert_eq!(fs::read_to_string("/tmp/clone/file")?, "first\n");
    assert!(clone.statuses(None)?.is_empty());
    Ok(())
}

/// A certificate of its own, and a conversation of TLS 1.3 on the loopback.
fn handshake() -> Outcome {
    use openssl::asn1::Asn1Time;
    use openssl::hash::MessageDigest;
    use openssl::ssl::{SslAcceptor, SslConnector, SslMethod, SslVerifyMode};
    use openssl::{ec, nid, pkey, x509};
    let group = ec::EcGroup::from_curve_name(nid::Nid::X9_62_PRIME256V1)?;
    let key = pkey::PKey::from_ec_key(ec::EcKey::generate(&group)?)?;
    let mut name = x509::X509NameBuilder::new()?;
    name.append_entry_by_text("CN", "localhost")?;
    let name = name.build();
    let mut certificate = x509::X509::builder()?;
    certificate.set_version(2)?;
    certificate.set_subject_name(&name)?;
    certificate.set_issuer_name(&name)?;
    certificate.set_not_before(&*Asn1Time::days_from_now(0)?)?;
    certificate.set_not_after(&*Asn1Time::days_from_now(1)?)?;
    certificate.set_pubkey(&key)?;
    certificate.sign(&key, MessageDigest::sha256())?;
    let certificate = certificate.build();
    let mut acceptor = SslAcceptor::mozilla_modern_v5(SslMethod::tls())?;
    acceptor.set_private_key(&key)?;
    acceptor.set_certificate(&certificate)?;
    let acceptor = acceptor.build();
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let server = thread::spawn(move || {
        let stream = listener.accept().expect("a client").0;
        let mut stream = acceptor.accept(stream).expect("a handshake");
        let mut words = [0; 5];
        stream.read_exact(&mut words).expect("words");
        stream.write_all(&words).expect("written");
        let _ = stream.shutdown();
    });
    let mut connector = SslConnector::builder(SslMethod::tls())?;
    connector.set_verify(SslVerifyMode::NONE);
    let mut stream = connector
        .build()
        .connect("localhost", TcpStream::connect(address)?)?;
    stream.write_all(b"words")?;
    let mut words = String::new();
    stream.read_to_string(&mut words)?;
    assert_eq!(words, "words");
    assert_eq!(stream.ssl().version_str(), "TLSv1.3");
    server.join().map_err(|_| "the server ended")?;
    Ok(())
}

fn script() -> Outcome {
    let runtime = rquickjs::Runtime::new()?;
    let context = rquickjs::Context::full(&runtime)?;
    context.with(|context| -> Outcome {
        let text: String = context.eval(
            "JSON.stringify({ sum: [1, 2, 3].map(x => x ** 2).reduce((a, b) => a + b), text: 'ä'.normalize('NFD').length,
                date: new Date(0).toISOString(), found: /(\\d+)-(?<b>\\w)/.exec('12-a').groups.b, big: (2n ** 70n).toString() })",
        )?;
        assert_eq!(
            text,
            r#"{"sum":14,"text":2,"date":"1970-01-01T00:00:00.000Z","found":"a","big":"1180591620717411303424"}"#
        );
        let thrown = context.eval::<(), _>("null.field").is_err();
        assert!(thrown);
        Ok(())
    })
}

fn picture() -> Outcome {
    let (width, height) = (64, 48);
    let pixels: Vec<u8> = (0..width * height)
        .flat_map(|at| [(at % width * 4) as u8, (at / width * 5) as u8, 128])
        .collect();
    let mut encoder = mozjpeg::Compress::new(mozjpeg::ColorSpace::JCS_RGB);
    encoder.set_size(width, height);
    encoder.set_quality(95.0);
    let mut encoder = encoder.start_compress(Vec::new())?;
    encoder.write_scanlines(&pixels)?;
    let file = encoder.finish()?;
    let decoder = mozjpeg::Decompress::new_mem(&file)?;
    assert_eq!((decoder.width(), decoder.height()), (width, height));
    let mut decoder = decoder.rgb()?;
    let found: Vec<u8> = decoder.read_scanlines()?;
    let worst = pixels.iter().zip(&found).map(|(a, b)| a.abs_diff(*b)).max();
    assert!(worst < Some(24), "{worst:?}");
    // A file that is cut off is an error, which leaves the library by `longjmp` or a panic, and not the program.
    assert!(mozjpeg::Decompress::new_mem(&file[..10]).is_err());
    Ok(())
}

fn bytes() -> Outcome {
    let data: Vec<u8> = (0..100_000_u32).flat_map(|n| (n / 7).to_le_bytes()).collect();
    let mut packer = libdeflater::Compressor::new(libdeflater::CompressionLvl::best());
    let mut packed = vec![0; packer.gzip_compress_bound(data.len())];
    let len = packer.gzip_compress(&data, &mut packed)?;
    let mut found = vec![0; data.len()];
    libdeflater::Decompressor::new().gzip_decompress(&packed[..len], &mut found)?;
    assert!(found == data && len < data.len() / 2);
    Ok(())
}

fn main() -> Outcome {
    for (name, step) in [
        ("libdeflate", bytes as fn() -> Outcome),
        ("mozjpeg", picture),
        ("QuickJS", script),
        ("libgit2", repository),
        ("OpenSSL", handshake),
    ] {
        step().map_err(|error| format!("{name}: {error}"))?;
        println!("{name}: as expected");
    }
    println!("all done");
    Ok(())
}
