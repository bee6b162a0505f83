use super::*;
use crate::error::ErrorKind;
use crate::formats::{f16, largest};

/// Values much like those of weights: a sum of uniform numbers, some rows far larger than others.
fn weights(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / 16_777_216.0 - 0.5
    };
    (0..count).map(|i| (next() + next() + next() + next()) * 0.05 * (1.0 + (i / 512 % 5) as f32)).collect()
}

fn bytes_of(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|x| x.to_le_bytes()).collect()
}

fn source(bytes: &[u8], columns: usize) -> Source<'_> {
    Source { bytes, format: Format::F32, columns, first_row: 0, importance: None }
}

fn encoded(isa: Isa, threads: usize, source: &Source, format: Format) -> Result<(Vec<u8>, Loss)> {
    let mut out = vec![0xaa; encoded_size(source, format)?];
    let loss = encode(&Pool::new(threads), isa, source, format, &mut out)?;
    Ok((out, loss))
}

fn decoded(format: Format, bytes: &[u8]) -> Vec<f32> {
    let mut out = vec![f32::NAN; bytes.len() / format.block_bytes() * format.block_values()];
    formats::dequantize(format, bytes, &mut out).unwrap();
    out
}

fn round_trip(values: &[f32], columns: usize, format: Format) -> Vec<f32> {
    let (bytes, _) = encoded(Isa::detect(), 1, &source(&bytes_of(values), columns), format).unwrap();
    decoded(format, &bytes)
}

fn encodable() -> impl Iterator<Item = Format> {
    Format::ALL.iter().copied().filter(|format| format.is_encodable())
}

/// The root of the relative squared error that each format keeps to on values like those of weights.
fn bound(format: Format) -> f64 {
    match format {
        Format::F32 => 0.0,
        Format::F16 => 3e-4,
        Format::BF16 => 2e-3,
        Format::Q8_0 => 6e-3,
        Format::Q6K => 0.02,
        Format::Q5K | Format::Q5_1 | Format::Q5_0 => 0.045,
        Format::Q4K | Format::Q4_1 | Format::IQ4NL | Format::IQ4XS => 0.085,
        Format::Q4_0 => 0.095,
        Format::Q3K => 0.2,
        Format::Q2K => 0.34,
        other => panic!("{other} has a bound"),
    }
}

#[test]
fn fifteen_formats_are_made() {
    assert_eq!(encodable().count(), 15);
}

#[test]
fn values_come_back_within_the_bound_of_their_format() {
    let values = weights(512 * 40, 1);
    let bytes = bytes_of(&values);
    for format in encodable() {
        let (blocks, loss) = encoded(Isa::detect(), 2, &source(&bytes, 512), format).unwrap();
        let relative = (loss.squared_error / loss.squared).sqrt();
        assert!(relative <= bound(format), "{format}: {relative}");
        assert!(relative >= bound(format) / 3.0, "{format}: {relative} is far below its bound");
        let square = |x: f32| f64::from(x) * f64::from(x);
        let error: f64 = values.iter().zip(decoded(format, &blocks)).map(|(a, b)| square(a - b)).sum();
        assert!((error - loss.squared_error).abs() <= 1e-5 * error, "{format}: {error}, {}", loss.squared_error);
        let squares: f64 = values.iter().map(|&x| square(x)).sum();
        assert!((squares - loss.squared).abs() <= 1e-5 * squares, "{format}");
    }
}

#[test]
fn every_instruction_set_and_number_of_threads_makes_the_same_bytes() {
    for columns in [256, 768, 1280, 32 * 1024] {
        let values = weights(columns * 3, 2);
        let importance: Vec<f32> = weights(columns, 3).iter().map(|x| x * x).collect();
        let bytes = bytes_of(&values);
        for format in encodable() {
            for importance in [None, Some(&importance[..])] {
                let source = Source { importance, ..source(&bytes, columns) };
                let (expected, _) = encoded(Isa::SCALAR, 1, &source, format).unwrap();
                for isa in Isa::available() {
                    let (blocks, _) = encoded(isa, 3, &source, format).unwrap();
                    assert!(blocks == expected, "{format} with {} for rows of {columns}", isa.name());
                }
            }
        }
    }
}

#[test]
fn rows_of_any_number_of_blocks_are_quantized_alone() {
    let values = weights(256 * 24, 4);
    for format in encodable() {
        let block = format.block_values();
        for blocks in [1, 2, 3, 7, 16, 17] {
            let row = &values[..blocks * block];
            let alone: Vec<f32> =
                row.chunks(block).flat_map(|values| round_trip(values, values.len(), format)).collect();
            assert!(round_trip(row, row.len(), format) == alone, "{format}, {blocks} blocks");
        }
        assert!(round_trip(&[], block, format).is_empty());
    }
}

#[test]
fn zeros_stay_zero() {
    for format in encodable() {
        assert!(round_trip(&[0.0; 512], 256, format).iter().all(|&x| x == 0.0), "{format}");
        assert!(round_trip(&[-0.0; 512], 256, format).iter().all(|&x| x == 0.0), "{format}");
    }
}

#[test]
fn a_constant_block_is_kept_closely() {
    for format in encodable() {
        for constant in [1.0f32, -0.037, 1e-2, 60_000.0, -60_000.0] {
            for x in round_trip(&[constant; 256], 256, format) {
                let error = (x - constant).abs() / constant.abs();
                assert!(error <= 0.01, "{format}: {constant} became {x}");
            }
        }
    }
}

#[test]
fn one_value_among_zeros_is_kept_closely() {
    for format in encodable() {
        for (place, value) in [(0, 0.5f32), (77, -0.5), (255, 3.0)] {
            let mut values = [0.0; 256];
            values[place] = value;
            let out = round_trip(&values, 256, format);
            assert!((out[place] - value).abs() <= 0.05 * value.abs(), "{format}: {value} became {}", out[place]);
            for (i, x) in out.iter().enumerate().filter(|&(i, _)| i != place) {
                assert!(x.abs() <= 0.05 * value.abs(), "{format}: the zero at {i} became {x}");
            }
        }
    }
}

#[test]
fn denormal_values_become_denormal_or_zero() {
    let values: Vec<f32> = (0..256).map(|i| f32::from_bits(i * 7919) * if i % 2 == 0 { 1.0 } else { -1.0 }).collect();
    for format in encodable() {
        assert!(round_trip(&values, 256, format).iter().all(|x| x.abs() <= f32::MIN_POSITIVE), "{format}");
    }
    let small: Vec<f32> = weights(256, 5).iter().map(|x| x * 1e-7).collect();
    for format in encodable() {
        assert!(round_trip(&small, 256, format).iter().all(|x| x.abs() <= 1e-6), "{format}");
    }
}

#[test]
fn the_largest_values_stay_finite() {
    for format in encodable().filter(|&format| format != Format::F32) {
        let most = largest(format);
        let values: Vec<f32> = (0..256).map(|i| if i % 3 == 0 { most } else { -most }).collect();
        for (x, value) in round_trip(&values, 256, format).iter().zip(&values) {
            assert!(x.is_finite() && (x - value).abs() <= 0.4 * most, "{format}: {value} became {x}");
        }
    }
}

#[test]
fn what_is_not_finite_or_too_large_is_named() {
    let message = |value: f32, format| {
        let mut values = weights(256 * 5, 6);
        values[256 * 3 + 17] = value;
        values[256 * 4] = f32::NAN;
        let bytes = bytes_of(&values);
        let error = encoded(Isa::detect(), 2, &Source { first_row: 100, ..source(&bytes, 256) }, format).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        error.message().to_owned()
    };
    for format in encodable() {
        assert_eq!(message(f32::NAN, format), "row 103, column 17 is NaN; weights are finite numbers");
        assert_eq!(message(f32::NEG_INFINITY, format), "row 103, column 17 is -inf; weights are finite numbers");
    }
    let too_large = "row 103, column 17 is 7e4; q4_k holds numbers up to 6.5504e4";
    assert_eq!(message(7e4, Format::Q4K), too_large);
}

#[test]
fn what_is_too_large_is_told_which_formats_hold_it() {
    let hint = |value: f32, format| {
        let bytes = bytes_of(&[value; 256]);
        let error = encoded(Isa::detect(), 1, &source(&bytes, 256), format).unwrap_err();
        error.hint().unwrap_or_default().to_owned()
    };
    assert!(hint(7e4, Format::F16).starts_with("f32 and bf16 hold it"));
    assert!(hint(-7e4, Format::Q2K).contains("--tensor-type NAME=bf16"));
    assert!(hint(f32::MAX, Format::Q8_0).starts_with("f32 holds it"));
    assert!(!hint(f32::MAX, Format::BF16).contains("bf16"));
}

#[test]
fn important_columns_lose_less() {
    let columns = 1024;
    let values = weights(columns * 8, 7);
    let importance: Vec<f32> = (0..columns).map(|i| if i % 8 == 0 { 100.0 } else { 1.0 }).collect();
    let bytes = bytes_of(&values);
    let rounded = [Format::F32, Format::F16, Format::BF16, Format::Q8_0];
    for format in encodable().filter(|format| !rounded.contains(format)) {
        let without = encoded(Isa::detect(), 1, &source(&bytes, columns), format).unwrap().0;
        let known = Source { importance: Some(&importance), ..source(&bytes, columns) };
        let (with, loss) = encoded(Isa::detect(), 1, &known, format).unwrap();
        let weighted = |blocks: &[u8]| -> f64 {
            let pairs = values.iter().zip(decoded(format, blocks)).enumerate();
            pairs.map(|(i, (a, b))| f64::from(importance[i % columns]) * f64::from(a - b).powi(2)).sum()
        };
        assert!(weighted(&with) < 0.95 * weighted(&without), "{format}");
        assert!((weighted(&with) - loss.squared_error).abs() <= 1e-4 * loss.squared_error, "{format}");
    }
}

#[test]
fn importance_of_zero_is_importance_of_all_alike() {
    let bytes = bytes_of(&weights(512, 8));
    for format in encodable() {
        let known = Source { importance: Some(&[0.0; 256]), ..source(&bytes, 256) };
        let (blocks, loss) = encoded(Isa::detect(), 1, &known, format).unwrap();
        assert_eq!(loss, Loss::default());
        assert!(decoded(format, &blocks).iter().any(|&x| x != 0.0), "{format}");
    }
}

#[test]
fn every_format_that_can_be_read_is_a_source() {
    let bytes = bytes_of(&weights(512, 9));
    for format in encodable() {
        let (blocks, _) = encoded(Isa::detect(), 1, &source(&bytes, 512), format).unwrap();
        let again = Source { format, ..source(&blocks, 512) };
        let (floats, loss) = encoded(Isa::detect(), 1, &again, Format::F32).unwrap();
        assert_eq!(floats, bytes_of(&decoded(format, &blocks)), "{format}");
        assert_eq!(loss.squared_error, 0.0);
        let (halves, _) = encoded(Isa::detect(), 1, &again, Format::F16).unwrap();
        let expected: Vec<u8> = decoded(format, &blocks).iter().flat_map(|&x| f16::from_f32(x).to_le_bytes()).collect();
        assert_eq!(halves, expected, "{format}");
    }
}

#[test]
fn sizes_and_formats_that_do_not_fit_are_errors() {
    let bytes = [0; 4 * 256];
    let kind = |source: &Source, format| encoded(Isa::SCALAR, 1, source, format).unwrap_err().kind();
    assert_eq!(kind(&source(&bytes, 128), Format::Q4K), ErrorKind::InvalidArgument);
    assert_eq!(kind(&source(&bytes, 0), Format::F16), ErrorKind::InvalidArgument);
    assert_eq!(kind(&source(&bytes[1..], 256), Format::Q4K), ErrorKind::InvalidArgument);
    assert_eq!(kind(&source(&bytes, 256), Format::IQ1S), ErrorKind::Unsupported);
    assert_eq!(kind(&Source { format: Format::I32, ..source(&bytes, 256) }, Format::F16), ErrorKind::Unsupported);
    for importance in [&[1.0; 255][..], &[f32::NAN; 256], &[-1.0; 256]] {
        let source = Source { importance: Some(importance), ..source(&bytes, 256) };
        assert_eq!(kind(&source, Format::Q4K), ErrorKind::InvalidArgument);
    }
}
