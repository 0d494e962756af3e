//! Making a new file system with everything that is to be in it.
//!
//! Three steps: a [`Builder`] collects directories, files and links (`tree.rs`); [`Builder::plan`]
//! works out how large the image must be and where everything goes (`plan.rs`); [`Plan::write`]
//! puts it onto a device in one go, reading each file once (`write.rs`).
//!
//! The result depends on nothing but what was added and the [`Options`]: not on the order of
//! adding, the clock or chance. It is revision 1 with the features `filetype`, `sparse_super` and,
//! where needed, `large_file`; or revision 0. Every file lies in one piece, its indirect blocks after
//! it, except where the tables of a block group are in between. Blocks of zeros are left out of files.
//!
//! ```
//! use core::cell::RefCell;
//! use ext2::make::{Attributes, Builder, Options};
//!
//! let mut builder = Builder::new(Options { label: "www".into(), ..Options::default() });
//! builder.add_directory("web", Attributes::directory())?;
//! let page = b"<h1>Hello</h1>";
//! builder.add_file("web/index.html", Attributes::file(), page.len() as u64, page.as_slice())?;
//! builder.add_symlink("web/start.html", Attributes::symlink(), "index.html")?;
//!
//! let plan = builder.plan()?;
//! let image = RefCell::new(vec![0; plan.size_bytes() as usize]);
//! plan.write(&image)?;
//!
//! let disk = ext2::FileSystem::mount(image, ext2::MountOptions::default())?;
//! let file = disk.resolve(b"/web/start.html")?;
//! let mut content = [0; 64];
//! let len = disk.read(&file, 0, &mut content)?;
//! assert_eq!(&content[..len], page);
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```
//!
//! On a host, the image is a file, and a file's content is opened when it is first read, so that no
//! more than one is open at a time:
//!
//! ```no_run
//! # struct ImageFile(std::fs::File);
//! # impl ext2::BlockDevice for ImageFile {
//! #     fn len_bytes(&self) -> u64 { 0 }
//! #     fn read(&self, _: u64, _: &mut [u8]) -> Result<(), ext2::DeviceError> { Ok(()) }
//! #     fn write(&self, _: u64, _: &[u8]) -> Result<(), ext2::DeviceError> { Ok(()) }
//! #     fn flush(&self) -> Result<(), ext2::DeviceError> { Ok(()) }
//! # }
//! use ext2::make::{Attributes, Builder, Content, Options};
//! use std::fs::File;
//! use std::path::PathBuf;
//!
//! enum LazyFile {
//!     Closed(PathBuf),
//!     Open(File),
//! }
//!
//! impl Content for LazyFile {
//!     fn read(&mut self, buf: &mut [u8]) -> Result<usize, String> {
//!         if let Self::Closed(path) = self {
//!             *self = Self::Open(File::open(path).map_err(|error| error.to_string())?);
//!         }
//!         let Self::Open(file) = self else { unreachable!("it was opened above") };
//!         std::io::Read::read(file, buf).map_err(|error| error.to_string())
//!     }
//! }
//!
//! let mut builder = Builder::new(Options::default());
//! let page = PathBuf::from("www/index.html");
//! let len = page.metadata()?.len();
//! builder.add_file("index.html", Attributes::file(), len, LazyFile::Closed(page))?;
//! let plan = builder.plan()?;
//! let image = File::options().read(true).write(true).create_new(true).open("www.img")?;
//! image.set_len(plan.size_bytes())?;
//! plan.write(&ImageFile(image))?; // your `BlockDevice` over a file
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```

mod entries;
mod error;
mod plan;
mod tree;
mod write;

pub(crate) use plan::has_backup;

pub use error::MakeError;
pub use plan::Plan;
pub use tree::{Attributes, Builder, Content, Options};
