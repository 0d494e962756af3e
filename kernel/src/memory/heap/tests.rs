use std::alloc::{Layout, alloc};
use std::sync::{Mutex, MutexGuard, Once, mpsc};

use super::classes::CLASSES;
use super::span::{SPAN_BYTES, Span};
use super::{
    LocalHeap, allocate, allocate_reserved, free, is_short, large, resize, take_back, usable_bytes,
};
use crate::memory::frames::{self, Stock};

/// The heap of the thread that calls: on the host, threads stand for cores.
pub(super) fn local() -> &'static LocalHeap {
    thread_local! {
        static HEAP: &'static LocalHeap = Box::leak(Box::new(LocalHeap::new(Stock::Common)));
    }
    HEAP.with(|heap| *heap)
}

/// The frames are one store for the whole kernel: tests take turns.
pub(crate) fn start() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    static START: Once = Once::new();
    const BYTES: usize = 64 << 20;
    let turn = TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    START.call_once(|| {
        let layout = Layout::from_size_align(BYTES, 4096).expect("a layout");
        // SAFETY: the memory is given to the frame allocator for ever.
        unsafe {
            let memory = alloc(layout) as usize;
            let reserve = memory + BYTES - frames::reserve_bytes(BYTES);
            frames::add_region(Stock::Common, memory, reserve);
            frames::add_region(Stock::Reserve, reserve, memory + BYTES);
        }
    });
    turn
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        self.0
    }
}

/// An object that is filled with one byte.
struct Object {
    address: usize,
    size: usize,
    byte: u8,
}

impl Object {
    fn new(random: u64) -> Self {
        let size = ((random >> 33) as usize % 5000) >> ((random >> 20) % 10);
        let align = 16 << ((random >> 50) % 8);
        let pointer = allocate(size, align);
        assert!(!pointer.is_null() && (pointer as usize).is_multiple_of(align));
        let byte = random as u8;
        // SAFETY: allocated just now.
        unsafe {
            assert!(usable_bytes(pointer) >= size);
            pointer.write_bytes(byte, size);
        }
        Self {
            address: pointer as usize,
            size,
            byte,
        }
    }

    fn is_intact(&self) -> bool {
        // SAFETY: the object lives, and has as many bytes.
        unsafe { std::slice::from_raw_parts(self.address as *const u8, self.size) }
            .iter()
            .all(|&b| b == self.byte)
    }

    fn end(self) {
        assert!(self.is_intact());
        // SAFETY: allocated in `new`, freed here alone.
        unsafe { free(self.address as *mut u8) };
    }
}

#[test]
fn objects_keep_their_content_and_alignment_and_all_memory_comes_back() {
    let _turn = start();
    let free_at_start = frames::usage().0;
    let mut random = Random(7);
    let mut live: Vec<Object> = Vec::new();
    for _ in 0..60_000 {
        let number = random.next();
        if number >> 61 < 4 {
            let object = Object::new(number);
            assert!(
                live.iter()
                    .all(|other| object.address + object.size <= other.address
                        || other.address + other.size <= object.address)
            );
            live.push(object);
        } else if !live.is_empty() {
            live.swap_remove((number >> 40) as usize % live.len()).end();
        }
    }
    live.into_iter().for_each(Object::end);
    assert_eq!(local().listed_objects(), 0);
    // One span of each class may be kept.
    let most_kept = CLASSES.len() * SPAN_BYTES + large::MOST_SPARE_BYTES;
    assert!(free_at_start - frames::usage().0 <= most_kept);
    local().release_unused();
    assert_eq!(free_at_start, frames::usage().0);
}

#[test]
fn what_another_core_frees_goes_home_and_its_memory_can_be_used_everywhere() {
    const ROUNDS: usize = 200;
    let _turn = start();
    let free_at_start = frames::usage().0;
    let (send, receive) = mpsc::channel::<Vec<Object>>();
    let (send_back, receive_back) = mpsc::channel::<Vec<Object>>();
    let other = std::thread::spawn(move || {
        let mut random = Random(99);
        for batch in receive {
            let own = (0..50).map(|_| Object::new(random.next())).collect();
            batch.into_iter().for_each(Object::end);
            send_back.send(own).expect("the first core lives");
        }
        take_back();
        local().release_unused();
        assert_eq!(local().listed_objects(), 0);
    });
    let mut random = Random(3);
    for _ in 0..ROUNDS {
        let batch = (0..100).map(|_| Object::new(random.next())).collect();
        send.send(batch).expect("the other core lives");
        let batch = receive_back.recv().expect("the other core lives");
        batch.into_iter().for_each(Object::end);
    }
    drop(send);
    other.join().expect("the other core's heap is empty");
    take_back();
    local().release_unused();
    assert_eq!(local().listed_objects(), 0);
    assert_eq!(free_at_start, frames::usage().0);
}

#[test]
fn an_owner_is_woken_for_much_that_waits_but_not_for_each_object() {
    let _turn = start();
    let objects: Vec<usize> = (0..100).map(|_| allocate(1000, 16) as usize).collect();
    let woken = std::thread::spawn(move || {
        let mut woken = 0;
        for object in objects {
            let object = object as *mut u8;
            // SAFETY: allocated above, freed here alone.
            unsafe { LocalHeap::hand_back(object, Span::of(object), |_| woken += 1) };
        }
        woken
    })
    .join()
    .expect("a thread that ends");
    assert_eq!(woken, 100 * 1008 / (32 << 10));
    take_back();
    assert_eq!(local().listed_objects(), 0);
}

#[test]
fn large_and_impossible_sizes() {
    let _turn = start();
    let before = frames::usage().0;
    let pointer = allocate(3 << 20, 1 << 16);
    assert!(!pointer.is_null() && (pointer as usize).is_multiple_of(1 << 12));
    // SAFETY: allocated just now.
    unsafe {
        assert_eq!(usable_bytes(pointer), 3 << 20);
        free(pointer);
    }
    assert_eq!(frames::usage().0, before);
    assert!(allocate(usize::MAX, 16).is_null());
    assert!(allocate(1 << 40, 16).is_null());
}

#[test]
fn a_large_object_grows_and_shrinks_where_it_is_while_there_is_room() {
    let _turn = start();
    let before = frames::usage().0;
    let start = allocate(1 << 20, 16);
    assert!(!start.is_null());
    // SAFETY: allocated just now, and resized and freed here alone.
    unsafe {
        start.write_bytes(7, 1 << 20);
        let longer = resize(start, 100 * 4096, 16);
        assert_eq!((longer, usable_bytes(longer)), (start, 100 * 4096));
        let longer = resize(longer, 200 * 4096 - 5, 16);
        assert_eq!((longer, usable_bytes(longer)), (start, 200 * 4096));
        // Its old place is free, but what is behind it is not: it moves, with its content.
        let barrier = resize(longer, 1 << 20, 16);
        let other = allocate(1 << 20, 16);
        let moved = resize(barrier, 4 << 20, 16);
        assert!(
            std::slice::from_raw_parts(moved, 100 * 4096)
                .iter()
                .all(|&b| b == 7)
        );
        free(moved);
        free(other);
    }
    assert_eq!(frames::usage().0, before);
    // SAFETY: as above; what cannot be had leaves the object as it was.
    unsafe {
        let small = allocate(100, 16);
        small.write_bytes(9, 100);
        assert!(resize(small, 1 << 40, 16).is_null());
        let grown = resize(small, 300, 16);
        assert!(
            std::slice::from_raw_parts(grown, 100)
                .iter()
                .all(|&b| b == 9)
        );
        free(grown);
    }
}

#[test]
fn a_short_run_waits_for_the_next_object_of_its_length_until_frames_run_out() {
    let _turn = start();
    let before = frames::usage().0;
    let first = allocate(8192, 16);
    // SAFETY: allocated just now.
    unsafe { free(first) };
    assert_eq!(frames::usage().0, before - 8192);
    assert_eq!(allocate(5000, 16), first);
    let second = allocate(8192, 16);
    assert_ne!(second, first);
    // SAFETY: allocated above, and used no more. Only one is kept.
    unsafe {
        free(first);
        free(second);
    }
    assert_eq!(frames::usage().0, before - 8192);
    // Nothing is that large: what is kept is given back before that is said.
    assert!(allocate(before - 4096, 16).is_null());
    assert_eq!(frames::usage().0, before);
}

#[test]
fn the_kernel_has_a_reserve_when_all_else_is_taken() {
    let _turn = start();
    let take = |size, from: fn(usize, usize) -> *mut u8| {
        core::iter::from_fn(move || Some(from(size, 16)).filter(|object| !object.is_null()))
    };
    let mut taken: Vec<*mut u8> = Vec::new();
    for size in [1 << 20, 65536, 4096]
        .into_iter()
        .chain(CLASSES.map(usize::from))
    {
        taken.extend(take(size, allocate));
    }
    assert!(!is_short());
    let reserved: Vec<*mut u8> = take(100, allocate_reserved).collect();
    assert!(reserved.len() > 5000 && is_short());
    assert!(allocate_reserved(10_000, 16).is_null());
    // Freed as all is; home again, and nobody else's.
    for object in reserved {
        // SAFETY: allocated above, freed here alone.
        unsafe { free(object) };
    }
    assert!(allocate(100, 16).is_null());
    assert!(!is_short());
    // A large one goes home too, and is not kept for the next that asks.
    let large = allocate_reserved(4096, 4096);
    assert!(large.addr() != 0 && large.addr().is_multiple_of(4096));
    // SAFETY: as above.
    unsafe { free(large) };
    assert!(allocate(4096, 16).is_null());
    for object in taken {
        // SAFETY: as above.
        unsafe { free(object) };
    }
}
