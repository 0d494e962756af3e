//! What happens to files, for programs that watch some (Linux: inotify(7)). Whoever opens, changes, moves or removes something says so here;
//! [`inotify`] hands it to those who asked. Nothing of that is in programs that watch nothing, and where nothing is watched one load tells.

use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use super::namespace::{Entry, Mount};
use super::node::{Changes, NodeRef};
use crate::sync::OnceCell;
use alloc::sync::Arc;

pub mod inotify;
#[cfg(test)]
mod tests;

/// Who is told. Events are those of Linux: `IN_OPEN`, `IN_MODIFY`, ….
pub trait Watcher: Sync {
    /// Something happened to what is at a place: for those who watch it, and, by its name, for those who watch the directory that it is in.
    fn at(&self, entry: &Entry, events: u32);
    /// Something happened to a node itself, whatever its name.
    fn to(&self, mount: &Arc<Mount>, node: &NodeRef, events: u32);
    /// Something happened in a directory to the name `name`; what it is the name of, if it is there. `cookie` joins the two halves of a move.
    fn inside(&self, directory: &Entry, name: &[u8], events: u32, cookie: u32);
    /// A name now leads to this node, or another one than before does: `from` is the directory's number and name of before.
    fn named(&self, node: &NodeRef, from: Option<(&Entry, &[u8])>, to: (&Entry, &[u8]));
    /// Whether somebody watches this node.
    fn is_watched(&self, mount: &Arc<Mount>, node: &NodeRef) -> bool;
    /// A file system is not mounted any more.
    fn unmounted(&self, mount: &Arc<Mount>);
}

static WATCHER: OnceCell<&'static dyn Watcher> = OnceCell::new();
/// How many watches there are.
static WATCHES: AtomicUsize = AtomicUsize::new(0);
static NEXT_COOKIE: AtomicU32 = AtomicU32::new(1);

/// Who is told, if anything is watched.
fn watcher() -> Option<&'static dyn Watcher> {
    match WATCHES.load(Ordering::Relaxed) {
        0 => None,
        _ => WATCHER.get().copied(),
    }
}

/// See [`Watcher::at`].
pub fn at(entry: &Entry, events: u32) {
    if let Some(watcher) = watcher() {
        watcher.at(entry, events);
    }
}

/// Facts about what is there were changed.
pub fn changed(entry: &Entry, changes: &Changes) {
    let is_time_only =
        changes.permissions.is_none() && changes.uid.is_none() && changes.gid.is_none();
    at(
        entry,
        match (changes.accessed, changes.modified) {
            (Some(_), None) if is_time_only => libc::IN_ACCESS,
            (None, Some(_)) if is_time_only => libc::IN_MODIFY,
            (None, None) if is_time_only => return,
            _ => libc::IN_ATTRIB,
        },
    );
}

/// A new name leads to a node that was just made, or, if it `is_link`, to one that had another name before.
pub fn created(directory: &Entry, name: &[u8], node: &NodeRef, is_link: bool) {
    if let Some(watcher) = watcher() {
        if is_link {
            watcher.to(&directory.mount, node, libc::IN_ATTRIB);
        } else {
            watcher.named(node, None, (directory, name));
        }
        watcher.inside(directory, name, libc::IN_CREATE | kind_of(node), 0);
    }
}

/// What is about to lose a name, if somebody wants to know: kept from before, as it may be gone after that.
pub fn losing(entry: &Entry) -> Option<NodeRef> {
    watcher().map(|_| entry.node.clone())
}

/// A name was removed from a directory.
pub fn removed(directory: &Entry, name: &[u8], node: Option<NodeRef>) {
    if let Some((watcher, node)) = watcher().zip(node) {
        let kind = kind_of(&node);
        lost_name(watcher, &directory.mount, &node);
        drop(node);
        watcher.inside(directory, name, libc::IN_DELETE | kind, 0);
    }
}

/// A name became another one; `replaced` had it before.
pub fn renamed(
    node: &NodeRef,
    from: (&Entry, &[u8]),
    to: (&Entry, &[u8]),
    replaced: Option<NodeRef>,
) {
    let Some(watcher) = watcher() else { return };
    let cookie = NEXT_COOKIE.fetch_add(1, Ordering::Relaxed);
    let kind = kind_of(node);
    watcher.named(node, Some(from), to);
    watcher.inside(from.0, from.1, libc::IN_MOVED_FROM | kind, cookie);
    watcher.inside(to.0, to.1, libc::IN_MOVED_TO | kind, cookie);
    // It is gone after the move has been told.
    if let Some(replaced) = &replaced {
        attributes_of(watcher, &to.0.mount, replaced);
    }
    watcher.to(&from.0.mount, node, libc::IN_MOVE_SELF);
    if let Some(replaced) = replaced {
        if_gone(watcher, &to.0.mount, &replaced);
    }
}

/// An open file is let go; `events` say how it was open. It may have been the last that was known of it.
pub fn closed(entry: &Arc<Entry>, events: u32) {
    let Some(watcher) = watcher() else { return };
    watcher.at(entry, events);
    if Arc::strong_count(entry) == 1 && watcher.is_watched(&entry.mount, &entry.node) {
        if_gone(watcher, &entry.mount, &entry.node);
    }
}

/// See [`Watcher::unmounted`].
pub fn unmounted(mount: &Arc<Mount>) {
    if let Some(watcher) = watcher() {
        watcher.unmounted(mount);
    }
}

/// `IN_ISDIR` for directories.
fn kind_of(node: &NodeRef) -> u32 {
    match node.kind() {
        super::node::NodeKind::Directory => libc::IN_ISDIR,
        _ => 0,
    }
}

fn lost_name(watcher: &dyn Watcher, mount: &Arc<Mount>, node: &NodeRef) {
    attributes_of(watcher, mount, node);
    if_gone(watcher, mount, node);
}

/// It has fewer names than before; of a directory, which has one only, that is not told.
fn attributes_of(watcher: &dyn Watcher, mount: &Arc<Mount>, node: &NodeRef) {
    if kind_of(node) == 0 {
        watcher.to(mount, node, libc::IN_ATTRIB);
    }
}

/// Tells that a node is gone, if it has no name any more and only the caller knows it.
fn if_gone(watcher: &dyn Watcher, mount: &Arc<Mount>, node: &NodeRef) {
    if Arc::strong_count(node) == 1 && node.metadata().is_ok_and(|facts| facts.links == 0) {
        watcher.to(mount, node, libc::IN_DELETE_SELF);
    }
}
