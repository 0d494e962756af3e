//! A global allocator in C, used by several threads at once.

use std::collections::BTreeMap;
use std::sync::mpsc;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let (sender, receiver) = mpsc::channel::<Vec<u64>>();
    let makers: Vec<_> = (0..4_u64)
        .map(|maker| {
            let sender = sender.clone();
            std::thread::spawn(move || {
                for round in 0..500 {
                    let len = (round * 37 + maker * 101) as usize % 5000;
                    sender.send(vec![maker; len]).unwrap();
                }
            })
        })
        .collect();
    drop(sender);
    let mut sums = BTreeMap::new();
    // What one thread allocated is freed by another one.
    for part in receiver {
        if let Some(&maker) = part.first() {
            *sums.entry(maker).or_insert(0) += part.len();
        }
    }
    makers.into_iter().for_each(|maker| maker.join().unwrap());
    println!("{sums:?}");
    let mut large = Vec::<u8>::new();
    for _ in 0..24 {
        large.resize((large.len() + 1) * 2 - 1, 1);
    }
    println!("{} bytes, all {}", large.len(), large.iter().all(|&byte| byte <= 1));
    println!("all done");
}
