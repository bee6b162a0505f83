//! Writes every malformed model file into a folder, with a table of what each error must name.
//!
//! `cargo run -p edgewise-core --example write_attacks -- FOLDER`; `FOLDER/attacks.tsv` then has one line per attack:
//! its name, the file to open, and the text that the error must contain, separated by tabs.

use std::fmt::Write as _;
use std::path::PathBuf;

#[path = "../attacks/mod.rs"]
mod attacks;

fn main() -> std::io::Result<()> {
    let Some(folder) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: write_attacks FOLDER");
        std::process::exit(2);
    };
    std::fs::create_dir_all(&folder)?;
    let mut table = String::new();
    for attack in attacks::all() {
        for (name, bytes) in &attack.files {
            std::fs::write(folder.join(name), bytes)?;
        }
        let _ = writeln!(table, "{}\t{}\t{}", attack.name, attack.files[0].0, attack.must_name); // a String takes it all
    }
    std::fs::write(folder.join("attacks.tsv"), table)
}
