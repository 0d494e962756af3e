//! Databases, indexes, archives and locks on files, on a disk at `/data`, or in the folder that `STORE` names.
use anyhow::{Result, ensure};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
fn dir(n: &str) -> PathBuf {
    let d = PathBuf::from(std::env::var("STORE").unwrap_or("/data".into())).join(n);
    std::fs::create_dir_all(&d).unwrap();
    d
}
fn sqlite() -> Result<()> {
    for mode in ["delete", "truncate", "persist", "memory", "off"] {
        let p = dir("sqlite").join(mode);
        let c = rusqlite::Connection::open(&p)?;
        let m: String = c.query_row(&format!("pragma journal_mode={mode}"), [], |r| r.get(0))?;
        println!("  journal {mode} -> {m}");
        ensure!(m == mode, "asked for {mode}, is {m}");
        c.execute_batch(
            "create table if not exists t(a integer primary key, b text); delete from t; begin;",
        )?;
        for i in 0..500 {
            c.execute("insert into t values(?1, ?2)", (i, format!("row {i}")))?;
        }
        c.execute_batch("commit;")?;
        let p2 = p.clone();
        let n = std::thread::spawn(move || -> rusqlite::Result<i64> {
            rusqlite::Connection::open(p2)?.query_row(
                "select count(*) from t where b like 'row %'",
                [],
                |r| r.get(0),
            )
        })
        .join()
        .unwrap()?;
        ensure!(n == 500);
        drop(c);
        let c = rusqlite::Connection::open(&p)?;
        let s: String = c.query_row("pragma integrity_check", [], |r| r.get(0))?;
        ensure!(s == "ok", "{s}");
        let d: String = c.query_row("select datetime(0, 'unixepoch', 'localtime')", [], |r| {
            r.get(0)
        })?;
        ensure!(d == "1970-01-01 00:00:00", "{d}");
    }
    Ok(())
}
/// The log of writes ahead, as one connection has it that shares nothing (its index is in memory), or as many have it (a mapping of a file).
fn sqlite_ahead(locking: &str) -> Result<()> {
    let c = rusqlite::Connection::open(dir("sqlite").join(locking))?;
    c.query_row(&format!("pragma locking_mode={locking}"), [], |r| {
        r.get::<_, String>(0)
    })?;
    let m: String = c.query_row("pragma journal_mode=wal", [], |r| r.get(0))?;
    ensure!(m == "wal", "{m}");
    c.execute_batch(
        "create table if not exists t(a integer); delete from t; insert into t values(7);",
    )?;
    let n: i64 = c.query_row("select a from t", [], |r| r.get(0))?;
    ensure!(n == 7);
    Ok(())
}
fn sqlite_exclusive() -> Result<()> {
    sqlite_ahead("exclusive")
}
/// Connections of several threads on one database with a log of writes ahead: one writes at a time, and the others read what was committed.
fn sqlite_wal() -> Result<()> {
    sqlite_ahead("normal")?;
    let p = dir("sqlite").join("many");
    let open = |p: &Path| -> rusqlite::Result<rusqlite::Connection> {
        let c = rusqlite::Connection::open(p)?;
        c.busy_timeout(std::time::Duration::from_secs(60))?;
        c.query_row("pragma journal_mode=wal", [], |r| r.get::<_, String>(0))?;
        Ok(c)
    };
    let c = open(&p)?;
    c.execute_batch("create table if not exists t(who integer, n integer); delete from t;")?;
    let writers: Vec<_> = (0..2)
        .map(|who| {
            let p = p.clone();
            std::thread::spawn(move || -> rusqlite::Result<i64> {
                let c = open(&p)?;
                for n in 0..200 {
                    c.execute("insert into t values(?1, ?2)", (who, n))?;
                    // What is committed is seen at once.
                    let seen: i64 =
                        c.query_row("select count(*) from t where who = ?1", [who], |r| r.get(0))?;
                    assert_eq!(seen, n + 1);
                }
                c.query_row("select count(*) from t", [], |r| r.get(0))
            })
        })
        .collect();
    let mut last = 0;
    while writers.iter().any(|w| !w.is_finished()) {
        let n: i64 = c.query_row("select count(*) from t", [], |r| r.get(0))?;
        ensure!(n >= last, "rows were lost: {n} after {last}");
        last = n;
        std::thread::yield_now();
    }
    for w in writers {
        ensure!(w.join().unwrap()? >= 200);
    }
    let n: i64 = c.query_row("select count(*) from t", [], |r| r.get(0))?;
    ensure!(n == 400, "{n} rows");
    let busy: i64 = c.query_row("pragma wal_checkpoint(truncate)", [], |r| r.get(0))?;
    ensure!(busy == 0 && std::fs::metadata(p.with_extension("-wal")).map_or(0, |m| m.len()) == 0);
    let s: String = c.query_row("pragma integrity_check", [], |r| r.get(0))?;
    ensure!(s == "ok", "{s}");
    c.execute_batch("pragma mmap_size=1000000; insert into t values(9, 9);")?;
    let n: i64 = c.query_row("select count(*) from t", [], |r| r.get(0))?;
    ensure!(n == 401, "{n} rows by a mapping");
    Ok(())
}
fn redb_() -> Result<()> {
    const T: redb::TableDefinition<u32, &str> = redb::TableDefinition::new("t");
    let p = dir("redb").join("db");
    let db = redb::Database::create(&p)?;
    let w = db.begin_write()?;
    {
        let mut t = w.open_table(T)?;
        for i in 0..300 {
            t.insert(i, "value")?;
        }
    }
    w.commit()?;
    ensure!(redb::Database::create(&p).is_err(), "opened twice");
    use redb::{ReadableDatabase, ReadableTableMetadata};
    ensure!(db.begin_read()?.open_table(T)?.len()? == 300);
    drop(db);
    ensure!(
        redb::Database::open(&p)?
            .begin_read()?
            .open_table(T)?
            .len()?
            == 300
    );
    Ok(())
}
fn sled_() -> Result<()> {
    let p = dir("sled");
    let d = sled::open(&p)?;
    for i in 0..300u32 {
        d.insert(i.to_be_bytes(), b"v")?;
    }
    d.flush()?;
    drop(d);
    ensure!(sled::open(&p)?.len() == 300);
    Ok(())
}
fn fjall_() -> Result<()> {
    let p = dir("fjall");
    {
        let d = fjall::Database::builder(&p).open()?;
        let k = d.keyspace("a", fjall::KeyspaceCreateOptions::default)?;
        for i in 0..300u32 {
            k.insert(i.to_be_bytes(), b"v")?;
        }
        d.persist(fjall::PersistMode::SyncAll)?;
    }
    let d = fjall::Database::builder(&p).open()?;
    let k = d.keyspace("a", fjall::KeyspaceCreateOptions::default)?;
    ensure!(k.get(7u32.to_be_bytes())?.is_some());
    Ok(())
}
/// LMDB: several databases in a mapping that grows, readers of other threads, and what is there when it is opened again; with writes to the file, or to
/// the mapping itself.
fn heed_with(name: &str, flags: heed::EnvFlags) -> Result<()> {
    use heed::types::{Bytes, Str, U64};
    type Numbers = heed::Database<U64<heed::byteorder::BE>, Bytes>;
    // What an earlier run left would be as large already.
    std::fs::remove_dir_all(dir(name))?;
    let p = dir(name);
    let open = || {
        let mut o = heed::EnvOpenOptions::new();
        o.map_size(1 << 20).max_dbs(4);
        // SAFETY: nobody else has the file, which is the test's own.
        unsafe { o.flags(flags).open(&p) }
    };
    let e = open()?;
    let mut w = e.write_txn()?;
    let words: heed::Database<Str, Str> = e.create_database(&mut w, Some("words"))?;
    let numbers: Numbers = e.create_database(&mut w, Some("numbers"))?;
    words.clear(&mut w)?;
    numbers.clear(&mut w)?;
    words.put(&mut w, "seven", "7")?;
    w.commit()?;
    let mut sizes = 0;
    let mut n = 0u64;
    while n < 2000 {
        let filled = (|| -> heed::Result<()> {
            let mut w = e.write_txn()?;
            for n in n..n + 100 {
                numbers.put(&mut w, &n, &[n as u8; 1000])?;
            }
            w.commit()
        })();
        match filled {
            Ok(()) => n += 100,
            Err(heed::Error::Mdb(heed::MdbError::MapFull)) => {
                sizes += 1;
                // SAFETY: no transaction is open.
                unsafe { e.resize((1 << 20) * (sizes + 1))? };
            }
            Err(error) => return Err(error.into()),
        }
        let r = e.read_txn()?;
        ensure!(numbers.len(&r)? == n, "{} of {n}", numbers.len(&r)?);
    }
    ensure!(sizes > 1, "grew {sizes} times");
    std::thread::scope(|s| {
        let readers: Vec<_> = (0..3)
            .map(|_| {
                s.spawn(|| -> Result<()> {
                    let r = e.read_txn()?;
                    for (i, row) in numbers.iter(&r)?.enumerate() {
                        let (n, value) = row?;
                        ensure!(n == i as u64 && value == [n as u8; 1000]);
                    }
                    Ok(())
                })
            })
            .collect();
        readers.into_iter().try_for_each(|r| r.join().unwrap())
    })?;
    let mut w = e.write_txn()?;
    numbers.delete_range(&mut w, &(100..1900))?;
    w.commit()?;
    e.force_sync()?;
    e.prepare_for_closing().wait();
    let e = open()?;
    let r = e.read_txn()?;
    let words: heed::Database<Str, Str> = e.open_database(&r, Some("words"))?.unwrap();
    let numbers: Numbers = e.open_database(&r, Some("numbers"))?.unwrap();
    ensure!(words.get(&r, "seven")? == Some("7") && numbers.len(&r)? == 200);
    ensure!(numbers.get(&r, &1950)? == Some(&[1950u64 as u8; 1000][..]));
    Ok(())
}
fn heed_() -> Result<()> {
    heed_with("heed", heed::EnvFlags::empty())
}
fn heed_mapped() -> Result<()> {
    heed_with("heed-mapped", heed::EnvFlags::WRITE_MAP)
}
/// Reads by a mapping that is made once, and writes to the file.
fn jammdb_() -> Result<()> {
    let p = dir("jammdb").join("db");
    let _ = std::fs::remove_file(&p);
    let d = jammdb::DB::open(&p)?;
    for round in 0..20u32 {
        let t = d.tx(true)?;
        let b = t.get_or_create_bucket("b")?;
        for n in 0..200u32 {
            b.put(
                (round * 200 + n).to_be_bytes(),
                round.to_be_bytes().repeat(20),
            )?;
        }
        t.commit()?;
        let t = d.tx(false)?;
        let b = t.get_bucket("b")?;
        for n in 0..(round + 1) * 200 {
            let pair = b.get(n.to_be_bytes());
            let Some(jammdb::Data::KeyValue(pair)) = pair else {
                anyhow::bail!("{n} is missing in round {round}");
            };
            ensure!(pair.value() == (n / 200).to_be_bytes().repeat(20));
        }
    }
    d.check()?;
    drop(d);
    let d = jammdb::DB::open(&p)?;
    let t = d.tx(false)?;
    ensure!(t.get_bucket("b")?.cursor().count() == 4000);
    Ok(())
}
fn persy_() -> Result<()> {
    let p = dir("persy").join("db");
    if !p.exists() {
        persy::Persy::create(&p).map_err(|e| anyhow::anyhow!("{e}"))?;
    }
    let d = persy::Persy::open(&p, persy::Config::new()).map_err(|e| anyhow::anyhow!("{e}"))?;
    let mut t = d.begin().map_err(|e| anyhow::anyhow!("{e}"))?;
    if !d.exists_segment("s").map_err(|e| anyhow::anyhow!("{e}"))? {
        t.create_segment("s").map_err(|e| anyhow::anyhow!("{e}"))?;
    }
    t.insert("s", b"x").map_err(|e| anyhow::anyhow!("{e}"))?;
    t.prepare()
        .map_err(|e| anyhow::anyhow!("{e}"))?
        .commit()
        .map_err(|e| anyhow::anyhow!("{e}"))?;
    ensure!(d.scan("s").map_err(|e| anyhow::anyhow!("{e}"))?.count() >= 1);
    Ok(())
}
fn tantivy_() -> Result<()> {
    use tantivy::{schema::*, *};
    let mut b = Schema::builder();
    let t = b.add_text_field("t", TEXT | STORED);
    let i = Index::builder()
        .schema(b.build())
        .open_or_create(directory::MmapDirectory::open(dir("tantivy"))?)?;
    let mut w: IndexWriter = i.writer_with_num_threads(1, 20_000_000)?;
    for k in 0..100 {
        w.add_document(doc!(t => format!("document number{k} toro")))?;
    }
    w.commit()?;
    let s = i.reader()?.searcher();
    let q = query::QueryParser::for_index(&i, vec![t]).parse_query("number7")?;
    ensure!(
        !s.search(&q, &collector::TopDocs::with_limit(3).order_by_score())?
            .is_empty()
    );
    Ok(())
}
fn locks() -> Result<()> {
    let p = dir("locks").join("l");
    let f = std::fs::File::create(&p)?;
    let g = std::fs::File::open(&p)?;
    fs4::fs_std::FileExt::lock_exclusive(&f)?;
    ensure!(
        !fs4::fs_std::FileExt::try_lock_exclusive(&g)?,
        "two have it"
    );
    fs4::fs_std::FileExt::unlock(&f)?;
    ensure!(fs4::fs_std::FileExt::try_lock_shared(&g)?);
    fs4::fs_std::FileExt::allocate(&f, 10_000)?;
    ensure!(f.metadata()?.len() == 10_000);
    println!("  free {}", fs4::available_space(&p)? > 0);
    let mut l = fslock::LockFile::open(&dir("locks").join("m"))?;
    ensure!(l.try_lock_with_pid()?);
    l.unlock()?;
    filetime::set_file_mtime(&p, filetime::FileTime::from_unix_time(1_000_000, 5000))?;
    ensure!(
        filetime::FileTime::from_last_modification_time(&std::fs::metadata(&p)?).unix_seconds()
            == 1_000_000
    );
    Ok(())
}
fn trees() -> Result<()> {
    let d = dir("trees");
    for i in 0..20 {
        let s = d.join(format!("d{i}"));
        std::fs::create_dir_all(&s)?;
        std::fs::write(s.join("a.rs"), "x")?;
        std::fs::write(s.join("b.txt"), "x")?;
    }
    std::fs::write(d.join(".ignore"), "*.txt\n")?;
    ensure!(walkdir::WalkDir::new(&d).into_iter().count() == 62);
    ensure!(
        ignore::Walk::new(&d)
            .filter_map(|e| e.ok())
            .filter(|e| e.path().is_file())
            .count()
            == 20
    );
    let n = std::sync::atomic::AtomicUsize::new(0);
    ignore::WalkBuilder::new(&d)
        .threads(3)
        .build_parallel()
        .run(|| {
            Box::new(|e| {
                if e.is_ok() {
                    n.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                }
                ignore::WalkState::Continue
            })
        });
    ensure!(n.into_inner() == 41);
    println!(
        "  watcher {:?}",
        notify::recommended_watcher(|_| {})
            .map(|_| ())
            .map_err(|e| e.to_string())
    );
    Ok(())
}
fn archives() -> Result<()> {
    let d = dir("archives");
    let mut z = zip::ZipWriter::new(std::fs::File::create(d.join("a.zip"))?);
    z.start_file("f", zip::write::SimpleFileOptions::default())?;
    z.write_all(&[7; 50_000])?;
    z.finish()?;
    let mut v = vec![];
    zip::ZipArchive::new(std::fs::File::open(d.join("a.zip"))?)?
        .by_name("f")?
        .read_to_end(&mut v)?;
    ensure!(v == [7; 50_000]);
    let mut t = tar::Builder::new(flate2::write::GzEncoder::new(
        std::fs::File::create(d.join("a.tgz"))?,
        flate2::Compression::fast(),
    ));
    t.append_dir_all("trees", dir("trees"))?;
    t.into_inner()?.finish()?;
    let o = dir("unpacked");
    tar::Archive::new(flate2::read::GzDecoder::new(std::fs::File::open(
        d.join("a.tgz"),
    )?))
    .unpack(&o)?;
    ensure!(Path::new(&o).join("trees/d3/a.rs").exists());
    let mut w = csv::Writer::from_path(d.join("c.csv"))?;
    w.write_record(["a", "b,c"])?;
    w.flush()?;
    drop(w);
    ensure!(
        csv::ReaderBuilder::new()
            .has_headers(false)
            .from_path(d.join("c.csv"))?
            .records()
            .next()
            .unwrap()?
            .get(1)
            == Some("b,c")
    );
    let im = image::RgbImage::from_fn(64, 64, |x, y| image::Rgb([x as u8, y as u8, 0]));
    im.save(d.join("i.png"))?;
    im.save(d.join("i.jpg"))?;
    ensure!(image::open(d.join("i.png"))?.to_rgb8() == im);
    ensure!(image::open(d.join("i.jpg"))?.width() == 64);
    Ok(())
}
fn maps() -> Result<()> {
    let p = dir("maps").join("m");
    std::fs::write(&p, vec![1u8; 10_000])?;
    let f = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(&p)?;
    // SAFETY: nobody changes the file as long as it is mapped.
    ensure!(unsafe { memmap2::Mmap::map(&f)? }.iter().all(|b| *b == 1));
    // SAFETY: as above.
    let mut c = unsafe { memmap2::MmapOptions::new().map_copy(&f)? };
    c[0] = 2;
    ensure!(std::fs::read(&p)?[0] == 1);
    // SAFETY: as above.
    let mut m = unsafe { memmap2::MmapMut::map_mut(&f)? };
    m[1] = 3;
    m.flush()?;
    ensure!(std::fs::read(&p)?[..3] == [1, 3, 1]);
    println!(
        "  code: {:?}",
        memmap2::MmapMut::map_anon(4096)?
            .make_exec()
            .map(|_| ())
            .map_err(|e| e.to_string())
    );
    Ok(())
}
fn main() {
    let mut bad = 0;
    let only: Vec<String> = std::env::args().skip(1).collect();
    macro_rules! run { ($($f:ident)*) => { $( if only.is_empty() || only.iter().any(|o| o == stringify!($f)) {
        match std::panic::catch_unwind($f) { Ok(Ok(())) => println!("{} ok", stringify!($f)), Ok(Err(e)) => { bad += 1; println!("{} FAILED: {e:#}", stringify!($f)) } Err(_) => { bad += 1; println!("{} FAILED: panic", stringify!($f)) } } } )* } }
    run!(sqlite sqlite_exclusive sqlite_wal heed_ heed_mapped jammdb_ redb_ sled_ fjall_ persy_ tantivy_ locks trees archives maps);
    println!("{}", if bad == 0 { "all done" } else { "not all" });
    std::process::exit(bad);
}
