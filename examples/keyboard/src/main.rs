//! Shows each key that is pressed, in a colour of its own: on the machine's keyboard or in the terminal that the serial line leads to. Escape
//! ends the program, F12 resets the machine, the power button ends it with status 7.

use toro::console::{self, CLEAR, Colour, Key, KeyEvent, Keys, RESET};
use toro::power;

fn main() -> toro::Result<()> {
    power::on_button(|| {
        println!("{RESET}The power button says good bye.");
        power::off(7);
    });
    let mut keys = Keys::open()?;
    print!("{CLEAR}{}", console::position(2, 5));
    println!(
        "{}{} keyboard {RESET}",
        Colour::Blue.paper(),
        Colour::BrightWhite.ink()
    );
    println!("\n    Press keys, Escape to end, F12 to reset.\n");
    loop {
        let event = keys.read();
        if !event.is_pressed {
            continue;
        }
        println!("    {}{}{RESET}", colour(event.key).ink(), name(event));
        match event.key {
            Key::Escape => break,
            Key::Function(12) => {
                println!("Resetting.");
                power::reboot()
            }
            _ => {}
        }
    }
    println!("\n    Good bye.");
    Ok(())
}

/// Modifiers and the key.
fn name(event: KeyEvent) -> String {
    let held = event.modifiers;
    let mut name = String::new();
    for (is_held, modifier, itself) in [
        (held.shift, "shift + ", Key::Shift),
        (held.control, "control + ", Key::Control),
        (held.alt, "alt + ", Key::Alt),
        (held.meta, "meta + ", Key::Meta),
    ] {
        if is_held && event.key != itself {
            name.push_str(modifier);
        }
    }
    name + &format!("{:?}", event.key)
}

fn colour(key: Key) -> Colour {
    match key {
        Key::Character(c) if c.is_ascii_digit() => Colour::BrightYellow,
        Key::Character(c) if c.is_alphabetic() => Colour::BrightGreen,
        Key::Character(_) => Colour::BrightCyan,
        Key::Up | Key::Down | Key::Left | Key::Right => Colour::BrightMagenta,
        Key::Function(_) => Colour::BrightRed,
        Key::Shift | Key::Control | Key::Alt | Key::Meta => Colour::BrightBlack,
        _ => Colour::BrightBlue,
    }
}
