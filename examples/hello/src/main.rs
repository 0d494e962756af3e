//! Prints one line and ends.

fn main() {
    println!("Hello from a virtual machine of my own!");
}
