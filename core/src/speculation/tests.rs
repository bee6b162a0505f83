use std::time::Duration;

use super::*;

fn proposed(text: &[u32], count: usize) -> (Vec<u32>, usize) {
    let mut ngrams = NGrams::default();
    let (first, second) = text.split_at(text.len() / 2);
    ngrams.read(first);
    ngrams.read(second);
    let mut guesses = Vec::new();
    let likeness = ngrams.propose(count, &mut guesses);
    (guesses, likeness)
}

#[test]
fn an_ngram_is_continued_as_it_was_the_last_time() {
    let text = [8, 1, 2, 3, 9, 1, 2, 3, 4, 5, 6, 1, 2, 3];
    assert_eq!(proposed(&text, 3), (vec![4, 5, 6], 3));
    assert_eq!(proposed(&text[..8], 3), (vec![9, 1, 2], 3));
    assert_eq!(proposed(&text[..7], 3), (vec![], 0));
    for length in 0..4 {
        assert_eq!(proposed(&text[..length], 3), (vec![], 0));
    }
}

#[test]
fn a_loop_is_continued_beyond_its_last_token() {
    assert_eq!(proposed(&[5, 1, 2, 1, 2, 1, 2], 5), (vec![1, 2, 1, 2, 1], 4));
    assert_eq!(proposed(&[7; 4], 7), (vec![7; 7], 3));
}

#[test]
fn the_likeness_of_two_places_ends_at_a_difference_at_the_beginning_of_the_text_and_where_it_says_no_more() {
    assert_eq!(proposed(&[6, 1, 2, 3, 4, 7, 1, 2, 3, 4], 1), (vec![7], 4));
    assert_eq!(proposed(&[1, 2, 3, 4, 7, 1, 2, 3, 4], 1), (vec![7], 4));
    let long: Vec<u32> = (0..40).chain(0..40).collect();
    assert_eq!(proposed(&long, 2), (vec![0, 1], 32));
}

const FLAT: [u64; LONGEST_STEP] = [100, 105, 110, 115, 120, 125, 130, 135];
const STEEP: [u64; LONGEST_STEP] = [100, 200, 300, 400, 500, 600, 700, 800];
const MOST: usize = LONGEST_STEP - 1;

/// Makes so many steps whose guesses are all right or all wrong; the numbers of guesses.
fn drive(
    controller: &mut Controller,
    steps: usize,
    is_right: bool,
    microseconds: &[u64],
    choose: impl Fn(&mut Controller) -> usize,
) -> Vec<usize> {
    let step = |_| {
        let count = choose(controller);
        controller.took(1 + count, Duration::from_micros(microseconds[count]), Duration::ZERO);
        controller.saw(count, if is_right { count } else { 0 }, 0);
        count
    };
    (0..steps).map(step).collect()
}

fn free(controller: &mut Controller) -> usize {
    controller.choose(MOST, 0)
}

fn costly(controller: &mut Controller) -> usize {
    controller.choose_costly(MOST)
}

#[test]
fn guesses_that_are_right_become_long_where_long_steps_are_cheap() {
    let mut controller = Controller::default();
    drive(&mut controller, 60, true, &FLAT, free);
    assert_eq!(controller.choose(MOST, 0), MOST);
    assert_eq!(controller.choose(2, 0), 2);
}

#[test]
fn wrong_guesses_end_before_they_cost_three_in_a_hundred() {
    let mut controller = Controller::default();
    let guessed = drive(&mut controller, 256, false, &FLAT, free);
    let lost: u64 = guessed.iter().map(|&count| FLAT[count] - FLAT[0]).sum();
    assert!(lost < 3 * 256, "{lost} us of {} us", 256 * FLAT[0]);
    assert_eq!(controller.choose(MOST, 0), 0);
}

#[test]
fn right_guesses_are_given_up_where_long_steps_cost_as_much_as_many_short_ones() {
    let mut controller = Controller::default();
    drive(&mut controller, 60, true, &STEEP, free);
    assert_eq!(drive(&mut controller, 20, true, &STEEP, free), [0; 20]);
}

#[test]
fn guesses_that_cost_nothing_start_again_as_soon_as_they_would_be_right() {
    let mut controller = Controller::default();
    drive(&mut controller, 60, false, &FLAT, free);
    for _ in 0..30 {
        controller.saw(1, 1, 0); // compared, not evaluated
    }
    assert!(controller.choose(MOST, 0) > 0);
}

#[test]
fn guesses_that_cost_something_are_tried_again_ever_more_rarely() {
    let mut controller = Controller::default();
    drive(&mut controller, 60, false, &FLAT, costly);
    let first: usize = drive(&mut controller, 100, false, &FLAT, costly).iter().sum();
    let later: usize = drive(&mut controller, 1000, false, &FLAT, costly).iter().sum();
    assert!((1..=6).contains(&first), "{first}");
    assert!((1..=8).contains(&later), "{later}");
}

#[test]
fn more_alike_tokens_make_longer_guesses() {
    let mut controller = Controller::default();
    drive(&mut controller, 1, true, &FLAT, free);
    let lengths: Vec<usize> = [3, 5, 9, 32].into_iter().map(|likeness| controller.choose(MOST, likeness)).collect();
    assert!(lengths.is_sorted() && lengths[0] < lengths[3], "{lengths:?}");
}
