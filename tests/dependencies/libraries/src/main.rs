//! Larger libraries of C: a repository of git, a script in QuickJS, a picture by mozjpeg, bytes by libdeflate.

use std::fs;
use std::path::Path;

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
    ] {
        step().map_err(|error| format!("{name}: {error}"))?;
        println!("{name}: as expected");
    }
    println!("all done");
    Ok(())
}
