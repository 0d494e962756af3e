//! What a service of background jobs stands on: a schedule with time zones, queues on disk, pictures on all cores, TLS with certificates of
//! both sides, compression, another allocator, and code made at build time.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Job {
    Resize,
    Compress,
}

include!(concat!(env!("OUT_DIR"), "/jobs.rs"));

/// The disk, or a folder of its own on a host.
fn folder() -> PathBuf {
    let disk = PathBuf::from("/jobs");
    if disk.join("lost+found").exists() {
        return disk;
    }
    let folder = std::env::temp_dir().join("toro-dependencies-jobs");
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

async fn schedule() {
    use chrono::TimeZone;
    use tokio_cron_scheduler::{Job, JobScheduler};
    let scheduler = JobScheduler::new().await.unwrap();
    let count = Arc::new(AtomicU32::new(0));
    let counted = count.clone();
    let job = Job::new_async_tz("*/1 * * * * *", chrono_tz::Asia::Tokyo, move |_, _| {
        let counted = counted.clone();
        Box::pin(async move {
            counted.fetch_add(1, Ordering::SeqCst);
        })
    });
    scheduler.add(job.unwrap()).await.unwrap();
    scheduler.start().await.unwrap();
    while count.load(Ordering::SeqCst) < 2 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // The 29th has no half past two: clocks go forward then.
    let schedule = cron::Schedule::from_str("0 30 2 * 3 *").unwrap();
    let start = chrono_tz::Europe::Berlin.with_ymd_and_hms(2026, 3, 28, 0, 0, 0);
    let next: Vec<_> = schedule.after(&start.unwrap()).take(2).collect();
    let texts = next.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(
        texts,
        ["2026-03-28 02:30:00 CET", "2026-03-30 02:30:00 CEST"]
    );
}

fn redb_queue(folder: &Path) {
    use redb::{Database, ReadableDatabase, ReadableTableMetadata, TableDefinition};
    const QUEUE: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("queue");
    let path = folder.join("queue.redb");
    let _ = std::fs::remove_file(&path);
    let database = Database::create(&path).unwrap();
    for number in 0..20 {
        let transaction = database.begin_write().unwrap();
        transaction
            .open_table(QUEUE)
            .unwrap()
            .insert(number, format!("job {number}").as_bytes())
            .unwrap();
        transaction.commit().unwrap();
    }
    drop(database);
    let mut database = Database::open(&path).unwrap();
    assert!(database.check_integrity().unwrap());
    let transaction = database.begin_read().unwrap();
    assert_eq!(transaction.open_table(QUEUE).unwrap().len().unwrap(), 20);
}

fn fjall_queue(folder: &Path) {
    let path = folder.join("fjall");
    let _ = std::fs::remove_dir_all(&path);
    let keyspace = fjall::Config::new(&path).open().unwrap();
    let jobs = keyspace.open_partition("jobs", Default::default()).unwrap();
    for number in 0..2000_u32 {
        jobs.insert(number.to_be_bytes(), [7; 200]).unwrap();
    }
    keyspace.persist(fjall::PersistMode::SyncAll).unwrap();
    drop((jobs, keyspace));
    let keyspace = fjall::Config::new(&path).open().unwrap();
    let jobs = keyspace.open_partition("jobs", Default::default()).unwrap();
    assert_eq!(jobs.len().unwrap(), 2000);
}

fn sled_queue(folder: &Path) {
    let path = folder.join("sled");
    let _ = std::fs::remove_dir_all(&path);
    let tree = sled::open(&path).unwrap();
    for number in 0..500_u32 {
        tree.insert(number.to_be_bytes(), vec![7; 100]).unwrap();
    }
    tree.flush().unwrap();
    drop(tree);
    assert_eq!(sled::open(&path).unwrap().len(), 500);
}

fn pictures(folder: &Path) {
    use image::imageops::FilterType;
    use rayon::prelude::*;
    (0..4_u8).into_par_iter().for_each(|number| {
        let picture =
            image::RgbImage::from_fn(80, 60, |x, y| image::Rgb([x as u8, y as u8, number]));
        let path = folder.join(format!("{number}.png"));
        picture.save(&path).unwrap();
        let read = image::open(&path).unwrap();
        assert_eq!(read.to_rgb8(), picture);
        let small = read.resize(40, 30, FilterType::Lanczos3);
        small.save(folder.join(format!("{number}.jpg"))).unwrap();
        let small = image::open(folder.join(format!("{number}.jpg"))).unwrap();
        assert_eq!((small.width(), small.height()), (40, 30));
    });
}

/// A server that wants a certificate of its client: one with it is served, one without is not.
async fn tls_of_both_sides() {
    use rustls::pki_types::{PrivateKeyDer, ServerName};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut parameters = rcgen::CertificateParams::new(vec![]).unwrap();
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = rcgen::KeyPair::generate().unwrap();
    let authority = parameters.self_signed(&key).unwrap();
    let issuer = rcgen::Issuer::from_params(&parameters, &key);
    let certificate = |name: &str| {
        let key = rcgen::KeyPair::generate().unwrap();
        let parameters = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
        let signed = parameters.signed_by(&key, &issuer).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        (vec![signed.der().clone()], key)
    };
    let mut roots = rustls::RootCertStore::empty();
    roots.add(authority.der().clone()).unwrap();
    let roots = Arc::new(roots);
    let verifier = rustls::server::WebPkiClientVerifier::builder(roots.clone());
    let (chain, key) = certificate("localhost");
    let config = rustls::ServerConfig::builder()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(chain, key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("localhost:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if let Ok(mut stream) = acceptor.accept(stream).await {
                let mut bytes = [0; 9];
                stream.read_exact(&mut bytes).await.unwrap();
                stream.write_all(&bytes).await.unwrap();
                stream.shutdown().await.unwrap();
            }
        }
    });
    for has_certificate in [true, false] {
        let config = rustls::ClientConfig::builder().with_root_certificates(roots.clone());
        let config = if has_certificate {
            let (chain, key) = certificate("client");
            config.with_client_auth_cert(chain, key).unwrap()
        } else {
            config.with_no_client_auth()
        };
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let visit = async {
            let stream = tokio::net::TcpStream::connect(address).await?;
            let name = ServerName::try_from("localhost").unwrap();
            let mut stream = connector.connect(name, stream).await?;
            stream.write_all(b"hello tls").await?;
            let mut text = String::new();
            stream.read_to_string(&mut text).await?;
            std::io::Result::Ok(text)
        };
        let text = visit.await.ok();
        assert_eq!(text.as_deref(), has_certificate.then_some("hello tls"));
    }
}

async fn compressed_log(folder: &Path) {
    use async_compression::tokio::{bufread::ZstdDecoder, write::ZstdEncoder};
    use tokio::fs::File;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
    let path = folder.join("log.zst");
    let mut log = ZstdEncoder::new(File::create(&path).await.unwrap());
    for number in 0..2000 {
        let line = format!("line {number} of the log\n");
        log.write_all(line.as_bytes()).await.unwrap();
    }
    log.shutdown().await.unwrap();
    let mut text = String::new();
    let file = BufReader::new(File::open(&path).await.unwrap());
    ZstdDecoder::new(file)
        .read_to_string(&mut text)
        .await
        .unwrap();
    assert_eq!(text.lines().count(), 2000);
}

#[tokio::main]
async fn main() {
    let folder = folder();
    assert_eq!(JOBS.get("resize"), Some(&Job::Resize));
    assert_eq!(JOBS.get("compress"), Some(&Job::Compress));
    assert_eq!(JOBS.get("other"), None);
    schedule().await;
    println!("schedule ok");
    redb_queue(&folder);
    fjall_queue(&folder);
    sled_queue(&folder);
    println!("queues ok");
    pictures(&folder);
    println!("pictures ok");
    tls_of_both_sides().await;
    println!("tls ok");
    compressed_log(&folder).await;
    println!("all done");
}
