//! Several sequences in one step, and what sequences share.

use super::tests::{PROMPT, largest_difference, model, never, options, session};
use super::*;

const OTHER: [u32; 12] = [1, 300, 44, 61, 72, 410, 211, 305, 306, 29, 7, 18];

fn alone(model: &Arc<Model>, options: SessionOptions, tokens: &[u32]) -> Vec<f32> {
    let mut session = session(model, options);
    session.evaluate(tokens, Logits::Last, &never).unwrap();
    session.logits().to_vec()
}

fn last(sequence: SequenceId, tokens: &[u32]) -> Work<'_> {
    Work { sequence, tokens, wanted: Logits::Last }
}

#[test]
fn sequences_of_one_step_do_not_touch_each_other() {
    let model = model();
    for format in [CacheFormat::F32, CacheFormat::F16, CacheFormat::Q8_0] {
        let options = SessionOptions { sequences: 3, batch: 32, threads: 2, ..options(format) };
        let mut together = session(&model, options);
        let (a, _) = together.begin(&PROMPT, "");
        let (b, _) = together.begin(&OTHER, "");
        let main = Session::MAIN;
        together.step(&[last(a, &PROMPT), last(b, &OTHER), last(main, &PROMPT[..7])], &never).unwrap();
        for (id, tokens) in [(a, &PROMPT[..]), (b, &OTHER), (main, &PROMPT[..7])] {
            assert_eq!(together.tokens_of(id), tokens);
            let difference = largest_difference(together.logits_of(id), &alone(&model, options, tokens));
            assert!(
                difference < if format == CacheFormat::Q8_0 { 0.3 } else { 0.02 },
                "{}: {difference}",
                format.name()
            );
        }
    }
}

/// The logits of tokens evaluated one by one behind a beginning of `PROMPT`, and of all of them in one step beside the
/// beginning of another sequence.
fn alone_and_together(
    model: &Arc<Model>,
    options: SessionOptions,
    length: usize,
    tokens: &[u32],
    beside: &[u32],
) -> [Vec<f32>; 2] {
    let mut steps = session(model, options);
    steps.evaluate(&PROMPT[..length], Logits::None, &never).unwrap();
    let mut expected = Vec::new();
    for token in tokens.chunks(1) {
        steps.evaluate(token, Logits::Last, &never).unwrap();
        expected.extend_from_slice(steps.logits());
    }
    let mut together = session(model, options);
    together.evaluate(&PROMPT[..length], Logits::None, &never).unwrap();
    let mut work = vec![Work { sequence: Session::MAIN, tokens, wanted: Logits::All }];
    if !beside.is_empty() {
        work.insert(0, last(together.begin(&[], "").0, beside));
    }
    together.step(&work, &never).unwrap();
    [expected, together.logits().to_vec()]
}

#[test]
fn with_few_tokens_the_logits_are_those_of_each_token_alone() {
    let model = model();
    for isa in Isa::available() {
        for format in [CacheFormat::F32, CacheFormat::F16, CacheFormat::Q8_0] {
            for threads in [1, 2] {
                for length in [1, 30, 37] {
                    let options = SessionOptions { sequences: 3, isa, threads, ..options(format) };
                    for (tokens, beside) in [(&OTHER[..6], &PROMPT[..2]), (&OTHER[..8], &[]), (&OTHER[..2], &[])] {
                        let [expected, found] = alone_and_together(&model, options, length, tokens, beside);
                        assert!(
                            found == expected,
                            "{}, {}, {threads} threads, {} and {} tokens after {length}",
                            isa.name(),
                            format.name(),
                            tokens.len(),
                            beside.len()
                        );
                    }
                }
            }
        }
    }
}

/// The likeliest token.
fn greedy(logits: &[f32]) -> u32 {
    (0..).zip(logits).max_by(|a, b| a.1.total_cmp(b.1)).map_or(0, |(token, _)| token)
}

#[test]
fn guesses_are_kept_up_to_the_first_wrong_one_and_change_no_token() {
    let model = model();
    let mut plain = session(&model, options(CacheFormat::F16));
    let mut text = vec![PROMPT[39]];
    plain.evaluate(&PROMPT[..39], Logits::None, &never).unwrap();
    for i in 0..9 {
        text.extend(plain.verify(Session::MAIN, &text[i..], &[], &never, greedy).unwrap());
    }
    for right in 0..=7 {
        let mut guessing = session(&model, options(CacheFormat::F16));
        let id = if right % 2 == 0 { Session::MAIN } else { guessing.begin(&[], "").0 };
        guessing.step(&[Work { sequence: id, tokens: &PROMPT[..39], wanted: Logits::None }], &never).unwrap();
        let mut guesses = text[1..8].to_vec();
        for wrong in &mut guesses[right..] {
            *wrong ^= 1;
        }
        let chosen = guessing.verify(id, &text[..1], &guesses, &never, greedy).unwrap();
        assert_eq!(chosen, text[1..right + 2]);
        assert_eq!(guessing.tokens_of(id), [&PROMPT[..39], &text[..=right]].concat());
        let next = guessing.verify(id, &chosen[right..], &[], &never, greedy).unwrap();
        assert_eq!(next, text[right + 2..right + 3]);
    }
}

#[test]
fn long_contexts_are_split_without_a_trace_in_the_logits() {
    let model = model();
    let long: Vec<u32> = (0..1100).map(|i| 3 + i * 7 % 400).collect();
    let options = SessionOptions { context_length: 1200, threads: 2, ..options(CacheFormat::F16) };
    let mut steps = session(&model, options);
    // 1022 to 1026: across a border between the parts of attention.
    steps.evaluate(&long[..1022], Logits::None, &never).unwrap();
    let mut expected = Vec::new();
    for token in long[1022..1027].chunks(1) {
        steps.evaluate(token, Logits::Last, &never).unwrap();
        expected.extend_from_slice(steps.logits());
    }
    steps.truncate(1022);
    steps.evaluate(&long[1022..1027], Logits::All, &never).unwrap();
    assert!(steps.logits() == expected);
}

#[test]
fn there_is_room_for_all_sequences_of_a_length_that_is_not_whole_blocks() {
    let model = model();
    let mut session =
        session(&model, SessionOptions { context_length: 100, sequences: 2, ..options(CacheFormat::F16) });
    let (a, _) = session.begin(&[], "");
    let (b, _) = session.begin(&[], "");
    let (ones, twos) = ([1; 100], [2; 100]);
    session.step(&[last(a, &ones), last(b, &twos)], &never).unwrap();
}

#[test]
fn a_shared_beginning_is_evaluated_once_and_written_by_nobody_else() {
    let model = model();
    let options = SessionOptions { sequences: 4, ..options(CacheFormat::F32) };
    let mut session = session(&model, options);
    session.evaluate(&PROMPT, Logits::Last, &never).unwrap();
    let expected = session.logits().to_vec();
    let prompt = [&PROMPT[..37], &OTHER].concat();
    let (id, shared) = session.begin(&prompt, "");
    assert_eq!(shared, 37);
    session.step(&[last(id, &prompt[37..])], &never).unwrap();
    assert!(largest_difference(session.logits_of(id), &alone(&model, options, &prompt)) < 1e-3);
    // The main sequence still has its own tokens there.
    session.truncate(39);
    session.evaluate(&PROMPT[39..], Logits::Last, &never).unwrap();
    assert!(largest_difference(session.logits(), &expected) < 1e-3);
}

#[test]
fn an_ended_sequence_serves_the_next_and_gives_way_to_a_large_one() {
    let model = model();
    let mut session = session(&model, options(CacheFormat::F16));
    session.evaluate(&PROMPT, Logits::Last, &never).unwrap();
    assert_eq!(session.reuse(&OTHER, ""), 1);
    session.evaluate(&OTHER[1..], Logits::Last, &never).unwrap();
    assert_eq!(session.reuse(&PROMPT, ""), PROMPT.len() - 1);
    assert_eq!(session.reuse(&[9; 120], ""), 0);
    session.evaluate(&[9; 120], Logits::Last, &never).unwrap();
    assert!(session.reuse(&PROMPT, "") < PROMPT.len() - 1);
}

#[test]
fn steps_that_cannot_be_made_are_refused_and_change_nothing() {
    let model = model();
    let mut session = session(&model, SessionOptions { context_length: 64, ..options(CacheFormat::F16) });
    let (a, _) = session.begin(&[], "");
    session.step(&[last(a, &PROMPT)], &never).unwrap();
    let twice = session.step(&[last(a, &[1]), last(a, &[2])], &never).unwrap_err();
    assert!(twice.message().contains("twice"), "{twice}");
    let unknown = session.step(&[last(SequenceId(7), &[1])], &never).unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::InvalidArgument);
    // A context of 64 has two blocks; the first sequence takes both.
    let full = session.step(&[last(a, &[1]), last(Session::MAIN, &[1])], &never).unwrap_err();
    assert_eq!(full.kind(), ErrorKind::ContextFull);
    assert_eq!((session.tokens_of(a), session.len()), (&PROMPT[..], 0));
    session.end(a);
    session.evaluate(&PROMPT, Logits::Last, &never).unwrap();
}

fn beginning(session: &Session, length: usize) -> Vec<u8> {
    let mut state = vec![0; session.beginning_bytes(length).unwrap()];
    session.save_beginning(Session::MAIN, length, &mut state).unwrap();
    state
}

#[test]
fn a_saved_beginning_is_recalled_by_another_session_as_far_as_the_prompt_goes() {
    let model = model();
    for format in [CacheFormat::F32, CacheFormat::F16, CacheFormat::Q8_0] {
        for (held, length) in [(0, 33), (0, 40), (9, 33), (32, 37), (33, 40)] {
            let mut first = session(&model, options(format));
            first.evaluate(&PROMPT, Logits::Last, &never).unwrap();
            let state = beginning(&first, length);
            let mut second = session(&model, SessionOptions { threads: 2, ..options(format) });
            second.evaluate(&PROMPT[..held], Logits::None, &never).unwrap();
            let recalled = second.recall(Session::MAIN, &&state[..], &PROMPT).unwrap();
            assert_eq!(recalled, length.min(PROMPT.len() - 1));
            assert_eq!(second.tokens(), &PROMPT[..recalled]);
            second.evaluate(&PROMPT[recalled..], Logits::Last, &never).unwrap();
            let tolerance = if format == CacheFormat::Q8_0 { 0.3 } else { 0.02 };
            assert!(largest_difference(second.logits(), first.logits()) < tolerance, "{}", format.name());
        }
    }
}

#[test]
fn only_what_prompt_and_state_share_is_recalled() {
    let model = model();
    let mut first = session(&model, options(CacheFormat::F16));
    first.evaluate(&PROMPT, Logits::None, &never).unwrap();
    let state = beginning(&first, 40);
    let prompt = [&PROMPT[..20], &OTHER].concat();
    let mut second = session(&model, SessionOptions { context_length: 36, ..options(CacheFormat::F16) });
    assert_eq!(second.recall(Session::MAIN, &&state[..], &prompt).unwrap(), 20);
    second.evaluate(&prompt[20..], Logits::Last, &never).unwrap();
    let expected = alone(&model, options(CacheFormat::F16), &prompt);
    assert!(largest_difference(second.logits(), &expected) < 0.02);
    // What the sequence holds is no beginning of the prompt: nothing is appended.
    assert_eq!(second.recall(Session::MAIN, &&state[..], &PROMPT).unwrap(), 32);
    assert_eq!(second.tokens(), prompt);
}

#[test]
fn a_damaged_beginning_is_refused_and_appends_nothing() {
    let model = model();
    let mut first = session(&model, options(CacheFormat::Q8_0));
    first.evaluate(&PROMPT, Logits::None, &never).unwrap();
    let state = beginning(&first, 40);
    let mut second = session(&model, options(CacheFormat::Q8_0));
    second.evaluate(&PROMPT[..4], Logits::None, &never).unwrap();
    let mut refused = |state: &[u8]| {
        let error = second.recall(Session::MAIN, &state, &PROMPT).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
        assert_eq!(second.tokens(), &PROMPT[..4]);
    };
    for cut in (0..state.len()).step_by(397).chain([state.len() - 1]) {
        refused(&state[..cut]);
    }
    for at in (0..state.len()).step_by(401).chain(0..60) {
        let mut damaged = state.clone();
        damaged[at] ^= 0x40;
        refused(&damaged);
    }
    assert_eq!(second.recall(Session::MAIN, &&state[..], &PROMPT).unwrap(), 39);
}

#[test]
fn a_state_is_read_from_a_file() {
    let model = model();
    let mut first = session(&model, options(CacheFormat::F16));
    first.evaluate(&PROMPT, Logits::None, &never).unwrap();
    let path = std::env::temp_dir().join(format!("edgewise-state-{}", std::process::id()));
    std::fs::write(&path, beginning(&first, 32)).unwrap();
    let file = std::fs::File::open(&path).unwrap();
    std::fs::remove_file(&path).unwrap(); // whoever has it open reads on
    let mut second = session(&model, options(CacheFormat::F16));
    assert_eq!(second.recall(Session::MAIN, &file, &PROMPT).unwrap(), 32);
}

#[test]
fn fingerprints_of_sessions_tell_formats_apart() {
    let model = model();
    let fingerprint = |format| session(&model, options(format)).fingerprint();
    assert_eq!(fingerprint(CacheFormat::F16), fingerprint(CacheFormat::F16));
    assert_ne!(fingerprint(CacheFormat::F16), fingerprint(CacheFormat::Q8_0));
}
