//! Malformed files are errors that name what is wrong; never a panic, a hang or a wild allocation.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use edgewise_core::gguf::{Gguf, Writer};
use edgewise_core::{Error, ErrorKind, formats::Format};

use attacks::{Attack, Stage};
use edgewise_core::model::encoder::Encoder;
use edgewise_core::model::{Adapter, Model};
use edgewise_core::session::{Logits, Session, SessionOptions};
use edgewise_core::tokenizer::Tokenizer;
use folder::Folder;

#[path = "../attacks/mod.rs"]
mod attacks;
mod folder;

/// What is wrong with this outcome of an attack, if anything.
fn fault<T>(result: Result<T, Error>, must_name: &str) -> Option<String> {
    match result {
        Ok(_) => Some("accepted".to_owned()),
        Err(error) if error.kind() != ErrorKind::ModelFile => Some(format!("{:?}: {error}", error.kind())),
        Err(error) if !error.message().contains(must_name) => Some(format!("{must_name} is not named: {error}")),
        Err(error) if error.hint().is_none() => Some(format!("no way out: {error}")),
        Err(_) => None,
    }
}

/// The same, at the stage where the attack must be found and not before.
fn fault_of_stage(attack: &Attack, opened: Result<Gguf, Error>) -> Option<String> {
    match (attack.stage, opened) {
        (Stage::Open, opened) => fault(opened, attack.must_name),
        (Stage::Load, Ok(gguf)) => fault(load(gguf), attack.must_name),
        (Stage::Vocabulary, Ok(gguf)) => fault(Tokenizer::from_metadata(gguf.metadata()), attack.must_name),
        (Stage::Adapter, Ok(gguf)) => fault(add_to_the_sound_model(gguf), attack.must_name),
        (Stage::Load | Stage::Vocabulary | Stage::Adapter, Err(error)) => {
            Some(format!("found when it was opened: {error}"))
        }
    }
}

/// Loads a model of either kind.
fn load(gguf: Gguf) -> Result<(), Error> {
    let architecture = gguf.metadata().str("general.architecture").ok().flatten().unwrap_or_default();
    if Encoder::knows(architecture) {
        Encoder::load(Arc::new(gguf)).map(drop)
    } else {
        Model::load(Arc::new(gguf)).map(drop)
    }
}

fn add_to_the_sound_model(adapter: Gguf) -> Result<Model, Error> {
    let model = Gguf::from_bytes(attacks::model::sound_bytes())?;
    let adapter = Adapter { name: "adapter".to_owned(), gguf: Arc::new(adapter), scale: 1.0 };
    Model::load_adapted(Arc::new(model), vec![adapter])
}

#[test]
fn the_file_that_attacks_start_from_is_sound() {
    let gguf = Gguf::from_bytes(attacks::file::sound().bytes()).unwrap();
    assert_eq!(gguf.tensor("a").map(|tensor| gguf.bytes(tensor).len()), Some(128));
    let version_2 = attacks::file::File { version: 2, ..attacks::file::sound() };
    assert!(Gguf::from_bytes(version_2.bytes()).is_ok());
}

#[test]
fn the_models_that_attacks_start_from_are_sound() {
    for bytes in [attacks::model::sound_bytes(), attacks::vocabulary::sound_bytes()] {
        let gguf = Gguf::from_bytes(bytes).unwrap();
        assert_eq!(Tokenizer::from_metadata(gguf.metadata()).unwrap().len(), 8);
        assert_eq!(Model::load(Arc::new(gguf)).unwrap().config().vocabulary_size, 8);
    }
    for bytes in attacks::encoder::sound_files() {
        let gguf = Gguf::from_bytes(bytes).unwrap();
        assert_eq!(Tokenizer::from_metadata(gguf.metadata()).unwrap().len(), 8);
        assert_eq!(Encoder::load(Arc::new(gguf)).unwrap().config().vocabulary_size, 8);
    }
    assert!(add_to_the_sound_model(Gguf::from_bytes(attacks::adapter::sound_bytes()).unwrap()).is_ok());
}

#[test]
fn every_attack_is_an_error_that_names_what_is_wrong() {
    let folder = Folder::new("attacks");
    let attacks = attacks::all();
    let names: HashSet<&str> = attacks.iter().map(|attack| attack.name).collect();
    assert_eq!(names.len(), attacks.len(), "names are unique");
    assert!(attacks.len() >= 80);
    let mut faults = Vec::new();
    for attack in attacks {
        let paths: Vec<PathBuf> = attack
            .files
            .iter()
            .map(|(name, bytes)| {
                let path = folder.path().join(name);
                std::fs::write(&path, bytes).unwrap();
                path
            })
            .collect();
        faults.extend(fault_of_stage(&attack, Gguf::open(&paths[0])).map(|fault| (attack.name, fault)));
        if let [(file, bytes)] = &attack.files[..]
            && *file == format!("{}.gguf", attack.name)
        {
            let opened = Gguf::from_bytes(bytes.clone());
            faults.extend(fault_of_stage(&attack, opened).map(|fault| (attack.name, fault)));
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn a_file_cut_at_any_byte_is_an_error() {
    let writer = Writer::new()
        .set("general.architecture", "llama")
        .set("tokenizer.ggml.tokens", ["<s>", "</s>", "a"].into_iter().collect::<edgewise_core::gguf::WriterValue>())
        .set("tokenizer.ggml.scores", &[0.0f32, -1.0, 2.5][..])
        .set("x.flag", true)
        .tensor("a", Format::F32, &[8, 2])
        .and_then(|writer| writer.tensor("b", Format::Q8_0, &[32, 3]))
        .unwrap();
    let sizes = [64, 102];
    let bytes = writer.to_bytes(|index, out| out.write_all(&vec![1; sizes[index]])).unwrap();
    assert!(Gguf::from_bytes(bytes.clone()).is_ok());
    let padding = 102usize.next_multiple_of(32) - 102;
    for cut in 0..bytes.len() - padding {
        assert_eq!(fault(Gguf::from_bytes(bytes[..cut].to_vec()), ""), None, "cut at {cut}");
    }
}

#[test]
fn the_story_model_cut_at_any_byte_of_its_header_is_an_error() {
    let root = std::env::var_os("EDGEWISE_TEST_DATA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared"), PathBuf::from);
    let Ok(bytes) = std::fs::read(root.join("models/stories260k-f32.gguf")) else {
        eprintln!("skipped: no models/stories260k-f32.gguf in {}; EDGEWISE_TEST_DATA names the folder", root.display());
        return;
    };
    let whole = Gguf::from_bytes(bytes.clone()).unwrap();
    let header_bytes = whole.tensors().iter().map(edgewise_core::gguf::Tensor::position).min().unwrap();
    assert!(header_bytes > 10_000);
    for cut in 0..=header_bytes {
        let error = Gguf::from_bytes(bytes[..cut].to_vec()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ModelFile);
        let named = ["header field \"", "metadata key", "name of tensor ", "tensor \"", "the file is empty"];
        assert!(named.iter().any(|place| error.message().contains(place)), "cut at {cut}: {error}");
    }
}

#[test]
fn a_file_with_any_byte_changed_opens_or_is_an_error() {
    let file = attacks::file::sound()
        .with("x", attacks::file::ARRAY, attacks::file::array(attacks::file::STRING, 2, [0; 16]))
        .with("y", attacks::file::BOOL, [1]);
    let sound = file.bytes();
    let (mut opened, mut refused) = (0, 0);
    for position in 0..file.header().len() {
        for value in [0, 1, 2, 0x7f, 0x80, 0xfe, 0xff, sound[position] ^ 1, sound[position] ^ 0x80] {
            let mut bytes = sound.clone();
            bytes[position] = value;
            match Gguf::from_bytes(bytes) {
                Ok(gguf) => {
                    opened += 1;
                    assert!(gguf.metadata().iter().all(|(_, value)| !value.to_string().is_empty()));
                    assert!(gguf.tensors().iter().all(|tensor| gguf.bytes(tensor).len() == tensor.size_bytes()));
                }
                Err(error) => {
                    refused += 1;
                    assert_eq!(error.kind(), ErrorKind::ModelFile, "{error}");
                }
            }
        }
    }
    assert!(opened > 100 && refused > 100, "{opened} opened, {refused} refused");
}

#[test]
fn an_adapter_with_any_byte_changed_runs_or_is_an_error() {
    let sound = attacks::adapter::sound_bytes();
    let whole = Gguf::from_bytes(sound.clone()).unwrap();
    let header_bytes = whole.tensors().iter().map(edgewise_core::gguf::Tensor::position).min().unwrap();
    let (mut ran, mut refused) = (0, 0);
    for position in 0..header_bytes {
        for value in [0, 1, 0x7f, 0xff, sound[position] ^ 1, sound[position] ^ 0x80] {
            let mut bytes = sound.clone();
            bytes[position] = value;
            match Gguf::from_bytes(bytes).and_then(add_to_the_sound_model) {
                Ok(model) => {
                    ran += 1;
                    let mut session = Session::new(Arc::new(model), SessionOptions::default()).unwrap();
                    session.evaluate(&[0, 7, 3], Logits::Last, &|| false).unwrap();
                    assert_eq!(session.logits().len(), 8);
                }
                Err(error) => {
                    refused += 1;
                    assert_ne!(error.kind(), ErrorKind::Io, "{error}");
                }
            }
        }
    }
    assert!(ran > 100 && refused > 100, "{ran} ran, {refused} refused");
}

#[test]
fn folders_pipes_and_missing_files_are_errors_at_once() {
    let folder = Folder::new("not-files");
    let error = Gguf::open(folder.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ModelFile);
    assert!(error.message().contains("is a folder") && error.hint().is_some(), "{error}");
    let error = Gguf::open(&folder.path().join("absent.gguf")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    assert!(error.message().contains("absent.gguf"), "{error}");
    if cfg!(unix) {
        let pipe = folder.path().join("pipe.gguf");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let error = Gguf::open(&pipe).unwrap_err();
        assert!(error.message().contains("is a pipe"), "{error}");
    }
}
