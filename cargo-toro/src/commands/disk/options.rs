//! The command line of `cargo toro disk`.

use clap::{Args, Subcommand};
use std::ffi::OsString;
use std::path::PathBuf;

#[allow(missing_docs, reason = "clap shows the docs of the options as help")]
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cargo toro disk ls -l web.img:/www
  cargo toro disk cat web.img:/www/logs/access.log
  cargo toro disk cp -r www web.img:/         from the host into the image
  cargo toro disk cp -r web.img:/logs .       from the image to the host
  echo hello | cargo toro disk cp - web.img:/hello.txt
  cargo toro disk fsck web.img && echo all is well

An image is a file with an ext2 or a FAT file system, or a disk with partitions of which one has. It must not be in use by a
virtual machine. Changes of ext2 are written in an order that leaves a sound file system whenever the tool is stopped.")]
pub struct Disk {
    /// The partition with the file system [default: the whole image, or its only partition with one]
    #[arg(long, value_name = "NUMBER", global = true)]
    pub partition: Option<u32>,
    #[command(subcommand)]
    pub action: Action,
}

/// What is done with an image.
#[derive(Debug, Subcommand)]
#[allow(missing_docs, reason = "clap shows the docs of the options as help")]
pub enum Action {
    /// List what is in a directory
    Ls {
        /// The directory or file [default path: /]
        #[arg(value_name = "IMAGE[:/PATH]")]
        place: Place,
        /// Type, permissions, links, owner, group, size and time (UTC) of each, too
        #[arg(short)]
        long: bool,
        /// And all that is in its directories
        #[arg(short, long)]
        recursive: bool,
    },
    /// Print files
    Cat {
        /// The files
        #[arg(value_name = "IMAGE:/PATH", required = true)]
        places: Vec<Place>,
    },
    /// Copy files into an image or out of it; `-` is standard input or output
    Cp {
        /// What is copied, then where it goes: to that name, or into that directory
        #[arg(value_name = "PATH", required = true, num_args = 2..)]
        places: Vec<Place>,
        /// Directories with all that is in them, too
        #[arg(short, long)]
        recursive: bool,
    },
    /// Make directories
    Mkdir {
        /// The directories
        #[arg(value_name = "IMAGE:/PATH", required = true)]
        places: Vec<Place>,
        /// Those on the way, too; and one that is there is no error
        #[arg(short, long)]
        parents: bool,
    },
    /// Remove files
    Rm {
        /// The files
        #[arg(value_name = "IMAGE:/PATH", required = true)]
        places: Vec<Place>,
        /// Directories with all that is in them, too
        #[arg(short, long)]
        recursive: bool,
    },
    /// Give a file or directory another name in the same image
    Mv {
        /// What it is
        #[arg(value_name = "IMAGE:/PATH")]
        from: Place,
        /// The new name, or the directory it goes into
        #[arg(value_name = "IMAGE:/PATH")]
        to: Place,
    },
    /// Show partitions, kind, name, size and free space
    Info {
        /// The image
        #[arg(value_name = "IMAGE")]
        image: PathBuf,
    },
    /// Check an ext2 file system, changing nothing; the exit status is 0 if all is well and 4 if not
    Fsck {
        /// The image
        #[arg(value_name = "IMAGE")]
        image: PathBuf,
    },
}

/// A file of the host, or one in an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file of the host.
    pub file: PathBuf,
    /// The path in it, if it is an image.
    pub path: Option<Vec<u8>>,
}

impl From<OsString> for Place {
    /// `IMAGE:/PATH` is cut at the first `:/` that is not behind a drive letter.
    fn from(text: OsString) -> Self {
        let bytes = text.as_encoded_bytes();
        let is_cut = |at: &usize| *at > 1 && bytes[*at..].starts_with(b":/");
        let Some(at) = (0..bytes.len()).find(is_cut) else {
            return Self {
                file: text.into(),
                path: None,
            };
        };
        let path = bytes[at + 1..].to_vec();
        let mut file = PathBuf::from(&text);
        if let Some(head) = text.to_str().and_then(|text| text.get(..at)) {
            file = head.into();
        } else if let Ok(head) = std::str::from_utf8(&bytes[..at]) {
            // Only the path in the image is not text.
            file = head.into();
        }
        Self {
            file,
            path: Some(path),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_ends_before_its_path() {
        let place = |text: &str| {
            let place = Place::from(OsString::from(text));
            let path = place.path.map(|path| String::from_utf8(path).unwrap());
            (place.file.to_str().unwrap().to_owned(), path)
        };
        let some = |path: &str| Some(path.to_owned());
        assert_eq!(place("web.img"), ("web.img".into(), None));
        assert_eq!(place("web.img:/a"), ("web.img".into(), some("/a")));
        assert_eq!(place("web.img:/a:/b"), ("web.img".into(), some("/a:/b")));
        assert_eq!(place("C:/web.img"), ("C:/web.img".into(), None));
        assert_eq!(place("C:/web.img:/"), ("C:/web.img".into(), some("/")));
        assert_eq!(place("-"), ("-".into(), None));
    }
}
