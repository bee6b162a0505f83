//! Writes every malformed model file into a folder, with a table of what each error must name.
//!
//! `cargo run -p edgewise-core --example write_attacks -- FOLDER`; `FOLDER/attacks.tsv` then has one line per attack:
//! its name, the file to open, the text that the error must contain, and the stage at which it is found (`Open` the file,
//! `Load` the model, make the tokenizer from its `Vocabulary`, or add it to `sound.gguf` as an `Adapter`), separated by
//! tabs. `sound.gguf`, `sound-merges.gguf`, `sound-bert.gguf` and
//! `sound-nomic-bert.gguf` are models without a fault, `sound-adapter.gguf` an adapter for the first.

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
        let (name, file) = (attack.name, &attack.files[0].0);
        let _ = writeln!(table, "{name}\t{file}\t{}\t{:?}", attack.must_name, attack.stage); // a String takes it all
    }
    std::fs::write(folder.join("sound.gguf"), attacks::model::sound_bytes())?;
    std::fs::write(folder.join("sound-merges.gguf"), attacks::vocabulary::sound_bytes())?;
    for (name, bytes) in ["sound-bert.gguf", "sound-nomic-bert.gguf"].iter().zip(attacks::encoder::sound_files()) {
        std::fs::write(folder.join(name), bytes)?;
    }
    std::fs::write(folder.join("sound-adapter.gguf"), attacks::adapter::sound_bytes())?;
    std::fs::write(folder.join("attacks.tsv"), table)
}
