//! The way home of objects that another core frees.

mod atomic {
    pub(super) use loom::sync::atomic::{AtomicPtr, Ordering};
}
#[path = "../../../kernel/src/memory/heap/hand_back.rs"]
mod hand_back;

use std::ptr::null_mut;
use std::sync::Arc;

use atomic::AtomicPtr;
use hand_back::{FreeObject, HandBack};
use loom::cell::UnsafeCell;
use loom::thread;

/// An object: its link, and content that must not be seen to change after it came home.
#[repr(C)]
struct Object {
    link: FreeObject,
    content: UnsafeCell<u32>,
}

fn object() -> *mut Object {
    Box::into_raw(Box::new(Object {
        link: FreeObject { next: null_mut() },
        content: UnsafeCell::new(0),
    }))
}

/// Takes what came home, reuses it and ends it; how many objects.
fn take(home: &HandBack) -> usize {
    let mut count = 0;
    let mut object = home.take_all().cast::<Object>();
    while !object.is_null() {
        // SAFETY: each object is pushed once, and is the taker's now. Loom fails if the writer's access could come later.
        unsafe {
            let next = (*object).link.next.cast();
            (*object)
                .content
                .with_mut(|content| assert_eq!(*content, 1));
            drop(Box::from_raw(object));
            object = next;
        }
        count += 1;
    }
    count
}

#[test]
fn every_object_comes_home_once_and_nobody_uses_it_any_more() {
    loom::model(|| {
        let home = Arc::new(HandBack(AtomicPtr::new(null_mut())));
        let pushers: Vec<_> = [1, 2]
            .into_iter()
            .map(|count| {
                let home = home.clone();
                let objects: Vec<_> = (0..count).map(|_| object().expose_provenance()).collect();
                thread::spawn(move || {
                    for object in objects {
                        let object = object as *mut Object;
                        // SAFETY: the object is this thread's until it is pushed.
                        unsafe {
                            (*object).content.with_mut(|content| *content = 1);
                            home.push(&raw mut (*object).link);
                        }
                    }
                })
            })
            .collect();
        let mut count = take(&home);
        for pusher in pushers {
            pusher.join().expect("a pusher ends");
        }
        count += take(&home);
        assert_eq!(count, 3);
        assert!(home.is_empty());
    });
}
