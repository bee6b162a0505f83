//! Claims about the words of each family of pre-tokenizers; the expected cuts are those of llama.cpp.

use super::super::pre_tokenizer::PreTokenizer;
use super::*;

/// The words of `text` under a pre-tokenizer, with bars between them.
fn words(name: &str, text: &str) -> String {
    let symbols: Vec<Symbol> = text.chars().map(Symbol::new).collect();
    let characters: Vec<char> = text.chars().collect();
    let mut start = 0;
    let ends = split(&symbols, PreTokenizer::named(name).unwrap().rules);
    assert_eq!(ends.last().copied().unwrap_or(0), symbols.len());
    let words: Vec<String> = ends
        .into_iter()
        .map(|end| {
            let word = characters[start..end].iter().collect();
            start = end;
            word
        })
        .collect();
    words.join("|")
}

#[test]
fn no_text_has_no_words() {
    for name in ["gpt-2", "llama3", "deepseek-llm", "superbpe", "afmoe", "jais-2"] {
        assert_eq!(words(name, ""), "", "{name}");
    }
}

#[test]
fn gpt_2_keeps_digits_together_and_contractions_in_lower_case_apart() {
    assert_eq!(words("gpt-2", "I'm WE'RE 12345 x  y\n\n z!?"), "I|'m| WE|'|RE| 12345| x| | y|\n\n| z|!?");
    assert_eq!(words("gpt-2", "end  "), "end|  ");
}

#[test]
fn starcoder_and_its_kind_take_digits_one_by_one() {
    assert_eq!(words("starcoder", "a 123"), "a| |1|2|3");
}

#[test]
fn llama3_takes_digits_in_threes_and_line_ends_with_punctuation() {
    assert_eq!(words("llama3", "I'M 12345;\n\n x  y \n z"), "I|'M| |123|45|;\n\n| x| | y| \n| z");
    assert_eq!(words("llama3", "(foo) $bar"), "(foo|)| $|bar");
}

#[test]
fn qwen2_takes_digits_one_by_one_and_qwen35_keeps_marks_with_letters() {
    assert_eq!(words("qwen2", "a12 e\u{301}x"), "a|1|2| e|\u{301}x");
    assert_eq!(words("qwen35", "a12 e\u{301}x"), "a|1|2| e\u{301}x");
}

#[test]
fn cased_words_are_cut_between_lower_and_upper_case() {
    assert_eq!(words("gpt-4o", "fooBar HTTPServer it's //x/\n"), "foo|Bar| HTTPServer| it's| //|x|/\n");
    assert_eq!(words("tekken", "it's 12"), "it|'s| |1|2");
    // A letter without a case goes with either side.
    assert_eq!(words("gpt-4o", "A\u{4E2D}B"), "A\u{4E2D}|B");
}

#[test]
fn spaces_go_in_powers_of_two() {
    let text = format!("a{}b", " ".repeat(8));
    assert_eq!(words("jais-2", &text), "a|    |  | | b");
    assert_eq!(words("jais-2", "a \n  \n"), "a| \n  \n");
    assert_eq!(words("jais-2", &" ".repeat(777)), [512, 256, 8, 1].map(|n| " ".repeat(n)).join("|"));
}

#[test]
fn chinese_characters_are_words_of_their_own_where_the_rules_say_so() {
    assert_eq!(words("kimi-k2", "a\u{4E2D}\u{6587}b's"), "a|\u{4E2D}\u{6587}|b's");
    assert_eq!(words("deepseek-v3", "a\u{4E2D}b 12 !x"), "a|\u{4E2D}|b| |12| !|x");
}

#[test]
fn digits_counted_from_the_right_keep_the_text_before_them() {
    assert_eq!(words("afmoe", "1234567"), "1|234|567");
    assert_eq!(words("superbpe", "12345 678"), "12|345| |678");
}

#[test]
fn what_no_expression_matches_stays_in_one_piece() {
    assert_eq!(words("deepseek-v3", "a\0\0\u{378}b"), "a|\0\0|\u{378}b");
    assert_eq!(words("bloom", "a, b"), "a|,| b");
}

#[test]
fn special_patterns_of_chameleon() {
    assert_eq!(words("chameleon", "<sentinel:12>IMGIMGABZ    \tx"), "<|sentinel|:|1|2|>|IMGIMGABZ|    |\t|x");
    // Without the pattern the letters before it would join.
    assert_eq!(words("chameleon", "xIMGIMGABZy"), "x|IMGIMGABZ|y");
    assert_eq!(words("chameleon", "xIMGIMGABCDEZy"), "xIMGIMGABCDEZy");
}

#[test]
fn single_spaced_words_are_one_word_of_exaone_moe() {
    assert_eq!(words("exaone-moe", "one two  three\n"), "one two| | three|\n");
}

#[test]
fn every_name_cuts_any_text_without_losing_a_character() {
    let names = "gpt-2 starcoder llama3 dbrx chatglm-bpe glm4 jais-2 minicpm5 qwen2 qwen35 laguna ufakzeka seed-coder \
        exaone-moe tekken gpt-4o granite-embed-multi-97m tiny_aya youtu kimi-k2 deepseek-llm deepseek-coder deepseek-v3 \
        spark2_5 afmoe falcon default bloom viking superbpe chameleon gemma4 sarvam-moe whitespace";
    let alphabet: Vec<char> =
        "aZ\u{E9}\u{4E2D}\u{AC00}\u{3042}7\u{BD} \n\r\t\u{3000}'s!$\u{301}\0\u{378}</:".chars().collect();
    let mut state = 1_u64;
    for name in names.split_whitespace() {
        for _ in 0..200 {
            let mut next = |bound: usize| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 33) as usize % bound
            };
            let text: String = (0..next(20)).map(|_| alphabet[next(alphabet.len())]).collect();
            let cut = words(name, &text);
            assert_eq!(cut.replace('|', ""), text, "{name}");
            assert!(!cut.contains("||"), "{name}: {cut:?}");
        }
    }
}
