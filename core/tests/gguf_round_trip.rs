//! What the writer writes, the reader reads: values of every type, tensors, and models split into shards.

use edgewise_core::formats::Format;
use edgewise_core::gguf::{Gguf, Metadata, Value, Writer, WriterValue};
use edgewise_core::{Error, ErrorKind};
use folder::Folder;

mod folder;

fn gguf_of(writer: &Writer) -> Gguf {
    Gguf::from_bytes(writer.to_bytes(|_, _| Ok(())).unwrap()).unwrap()
}

fn strings(strings: &[&[u8]]) -> WriterValue {
    strings.iter().collect()
}

#[test]
fn whole_numbers_of_any_width_are_read_where_they_fit() {
    let gguf = gguf_of(
        &Writer::new()
            .set("a", 7u8)
            .set("b", -7i16)
            .set("c", u64::MAX)
            .set("d", 7i64)
            .set("e", u32::MAX)
            .set("f", 7.0f32),
    );
    let metadata = gguf.metadata();
    assert_eq!(metadata.u32("a"), Ok(Some(7)));
    assert_eq!(metadata.u32("d"), Ok(Some(7)));
    assert_eq!(metadata.u32("e"), Ok(Some(u32::MAX)));
    assert_eq!(metadata.u64("c"), Ok(Some(u64::MAX)));
    assert_eq!(metadata.u32("absent"), Ok(None));
    for key in ["b", "c", "f"] {
        let error = metadata.u32(key).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ModelFile);
        assert!(error.message().starts_with(&format!("metadata key \"{key}\" is ")), "{error}");
    }
}

#[test]
fn a_missing_key_that_is_required_is_named() {
    let gguf = gguf_of(&Writer::new());
    let metadata = gguf.metadata();
    let errors: [Error; 5] = [
        metadata.require_u32("k").unwrap_err(),
        metadata.require_u64("k").unwrap_err(),
        metadata.require_f32("k").unwrap_err(),
        metadata.require_str("k").unwrap_err(),
        metadata.require_strings("k").unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.message(), "metadata key \"k\" is missing; the model needs it");
    }
}

type Getter = fn(&Metadata, &str) -> bool;

#[test]
fn every_getter_refuses_every_other_type() {
    let gguf = gguf_of(
        &Writer::new()
            .set("number", 1u32)
            .set("float", 1.5f32)
            .set("double", 1.5f64)
            .set("bool", true)
            .set("str", "text")
            .set("strings", strings(&[b"a", b"b"]))
            .set("floats", &[1.0f32, 2.0][..])
            .set("numbers", &[1i64, -2][..])
            .set("bools", &[true, false][..]),
    );
    let getters: [(&[&str], Getter); 9] = [
        (&["number"], |m, key| m.u32(key).is_ok()),
        (&["float", "double"], |m, key| m.f32(key).is_ok()),
        (&["bool"], |m, key| m.bool(key).is_ok()),
        (&["str"], |m, key| m.str(key).is_ok()),
        (&["strings"], |m, key| m.strings(key).is_ok()),
        (&["floats"], |m, key| m.f32s(key).is_ok()),
        (&["numbers"], |m, key| m.i32s(key).is_ok()),
        (&[], |m, key| m.u32s(key).is_ok()), // -2 does not fit
        (&["bools"], |m, key| m.bools(key).is_ok()),
    ];
    for (index, (fitting, getter)) in getters.iter().enumerate() {
        for (key, value) in gguf.metadata().iter() {
            assert_eq!(getter(gguf.metadata(), key), fitting.contains(&key), "getter {index}: {key} is {value}");
        }
    }
    assert_eq!(gguf.metadata().f32("double"), Ok(Some(1.5)));
    assert_eq!(gguf.metadata().i32s("numbers"), Ok(Some(vec![1, -2])));
    assert_eq!(gguf.metadata().f32s("floats"), Ok(Some(vec![1.0, 2.0])));
    assert_eq!(gguf.metadata().bools("bools"), Ok(Some(vec![true, false])));
}

#[test]
fn strings_are_bytes_until_text_is_asked_for() {
    let gguf = gguf_of(&Writer::new().set("raw", b"ok\xff".to_vec()).set("tokens", strings(&[b"a", b"", b"\xe2\x96"])));
    let metadata = gguf.metadata();
    assert_eq!(metadata.bytes("raw"), Ok(Some(&b"ok\xff"[..])));
    let error = metadata.str("raw").unwrap_err();
    assert!(error.message().starts_with("metadata key \"raw\" is not UTF-8 from byte 2 on"), "{error}");
    let tokens: Vec<&[u8]> = metadata.require_strings("tokens").unwrap().iter().collect();
    assert_eq!(tokens, [&b"a"[..], b"", b"\xe2\x96"]);
    let Some(Value::Array(array)) = metadata.get("tokens") else { panic!("tokens are an array") };
    let through_values: Vec<Value> = array.iter().collect();
    assert!(matches!(through_values[..], [Value::String(b"a"), Value::String(b""), Value::String(b"\xe2\x96")]));
}

#[test]
fn pairs_keep_their_order_and_a_copy_keeps_their_bytes() {
    let writer = Writer::new().set("z", 1u32).set("a", "text").set("m", strings(&[b"x"])).set("split.count", 1u16);
    let original = gguf_of(&writer);
    assert_eq!(original.metadata().iter().map(|(key, _)| key).collect::<Vec<_>>(), ["z", "a", "m", "split.count"]);
    let copy = gguf_of(&Writer::new().copy(original.metadata()).set("z", 2u32));
    assert_eq!(copy.metadata().iter().map(|(key, _)| key).collect::<Vec<_>>(), ["z", "a", "m"]);
    assert_eq!(copy.metadata().u32("z"), Ok(Some(2)));
    assert_eq!(copy.metadata().str("a"), Ok(Some("text")));
}

#[test]
fn tensors_come_back_with_their_shapes_and_bytes() {
    let shapes: [(&str, Format, &[u64], usize); 4] = [
        ("scalar", Format::F32, &[1], 4),
        ("matrix", Format::Q4K, &[512, 3], 864),
        ("experts", Format::F16, &[2, 3, 4], 48),
        ("exotic", Format::IQ2XXS, &[256], 66),
    ];
    let writer = shapes
        .iter()
        .fold(Writer::new(), |writer, (name, format, shape, _)| writer.tensor(name, *format, shape).unwrap());
    let bytes = writer.to_bytes(|index, out| out.write_all(&vec![index as u8 + 1; shapes[index].3])).unwrap();
    let gguf = Gguf::from_bytes(bytes).unwrap();
    for (index, (name, format, shape, size)) in shapes.iter().enumerate() {
        let tensor = gguf.tensor(name).unwrap();
        assert_eq!((tensor.format, &tensor.shape[..], tensor.size_bytes()), (*format, *shape, *size));
        assert_eq!(tensor.columns() * tensor.rows(), tensor.values());
        assert_eq!(tensor.position() % 32, 0);
        assert_eq!(gguf.bytes(tensor), vec![index as u8 + 1; *size]);
        assert_eq!(gguf.tensors()[index].name, *name);
    }
    assert!(gguf.tensor("absent").is_none());
}

#[test]
fn the_writer_refuses_what_the_reader_would() {
    for shape in [&[][..], &[0], &[33], &[32, 0], &[32, 1, 1, 1, 1], &[32, u64::MAX]] {
        assert!(Writer::new().tensor("a", Format::Q8_0, shape).is_err(), "{shape:?}");
    }
    let writer = Writer::new().tensor("a", Format::F32, &[2]).unwrap();
    assert!(writer.to_bytes(|_, out| out.write_all(&[0; 7])).unwrap_err().message().contains("7 bytes written"));
    assert!(writer.tensor("a", Format::F32, &[2]).is_err());
}

#[test]
fn a_failed_save_leaves_the_old_file_and_nothing_else() {
    let folder = Folder::new("round-trip-save");
    let path = folder.path().join("model.gguf");
    let writer = Writer::new().tensor("a", Format::F32, &[2]).unwrap();
    writer.save(&path, |_, out| out.write_all(&[1; 8])).unwrap();
    let error = writer.save(&path, |_, out| out.write_all(&[2; 4])).unwrap_err();
    assert!(error.message().contains("model.gguf"), "{error}");
    let gguf = Gguf::open(&path).unwrap();
    assert_eq!(gguf.bytes(&gguf.tensors()[0]), [1; 8]);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_split_model_opens_from_any_of_its_shards() {
    let folder = Folder::new("round-trip-split");
    let path = |number: u16| folder.path().join(format!("m-0000{number}-of-00003.gguf"));
    for number in 0..3u16 {
        let mut writer =
            Writer::new().set("split.no", number).set("split.count", 3u16).set("split.tensors.count", 3i32);
        if number == 0 {
            writer = writer.set("general.architecture", "llama");
        }
        writer = writer.tensor(&format!("t{number}"), Format::F32, &[4]).unwrap();
        writer.save(&path(number + 1), |_, out| out.write_all(&[number as u8; 16])).unwrap();
    }
    for opened in 1..=3 {
        let gguf = Gguf::open(&path(opened)).unwrap();
        assert_eq!(gguf.metadata().str("general.architecture"), Ok(Some("llama")));
        assert_eq!(gguf.tensors().iter().map(|tensor| tensor.name.as_str()).collect::<Vec<_>>(), ["t0", "t1", "t2"]);
        for (number, tensor) in gguf.tensors().iter().enumerate() {
            assert_eq!(gguf.bytes(tensor), [number as u8; 16]);
            assert_eq!(tensor.file(), number);
        }
        assert_eq!(gguf.size_bytes(), (1..=3).map(|number| path(number).metadata().unwrap().len()).sum::<u64>());
    }
}
