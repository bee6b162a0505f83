"""What the demo model knows about the speed of language models and the memory that they take."""

from .topic import Topic

SPEED = (
    Topic(
        (
            "The KV cache stores the keys and values of all tokens so far, so that they are not computed again.",
            "A KV cache is the memory in which a model keeps the keys and values of the tokens it has read.",
        ),
        (
            "It grows with the length of the context.",
            "Without it, each new token would cost as much as the whole text.",
            "It can be stored with 16 or 8 bits.",
        ),
        ("the KV cache", "a KV cache", "KV cache", "the key-value cache"),
        (
            "How does the KV cache work?",
            "Why do models need a KV cache?",
            "What does the KV cache do?",
            "What is the KV cache for?",
            "What does a KV cache do?",
        ),
    ),
    Topic(
        ("Prefill is the phase in which the model reads the prompt.",),
        (
            "Many tokens are processed together, so its speed is limited by computing.",
            "The longer the prompt, the longer you wait for the first token.",
        ),
        ("prefill", "the prefill phase", "prompt processing"),
    ),
    Topic(
        ("Decode is the phase in which the model writes its answer, one token after another.",),
        ("Every token reads all weights once, so its speed is limited by memory bandwidth.",),
        ("decode", "decoding", "the decode phase"),
    ),
    Topic(
        ("Prefill reads the prompt, many tokens at once; decode writes the answer, one token at a time.",),
        ("Prefill is limited by computing and decode by memory bandwidth.",),
        (),
        (
            "What is the difference between prefill and decode?",
            "How do prefill and decode differ?",
            "Prefill or decode, what is the difference?",
            "Explain the difference between prefill and decode.",
            "How does prefill differ from decode?",
        ),
    ),
    Topic(
        ("Memory bandwidth is the amount of data that a processor can read from memory per second.",),
        (
            "It limits decoding, because every token reads all weights of the model once.",
            "A smaller model file is therefore faster.",
        ),
        ("memory bandwidth", "bandwidth"),
        (
            "Why does memory bandwidth matter?",
            "Why is decoding limited by memory?",
            "Why is memory speed important for language models?",
        ),
    ),
    Topic(
        ("The time to first token is how long you wait until the answer begins.",),
        ("It is the time for loading the model and reading the prompt.",),
        ("time to first token", "the time to first token", "TTFT"),
        ("Why does the first token take so long?", "Why is the first token slow?"),
    ),
    Topic(
        ("Tokens per second is the usual measure of the speed of a language model.",),
        ("People read about 5 tokens per second, so more than that feels fluent.",),
        ("tokens per second", "the speed of a model"),
        ("How is the speed of a model measured?", "How many tokens per second are enough?"),
    ),
    Topic(
        ("Latency is the time you wait for an answer to begin or to arrive.",),
        ("A local model has no network latency.",),
        ("latency",),
    ),
    Topic(
        ("Throughput is the amount of work done per second, for example tokens per second for all users together.",),
        ("Batching raises it.",),
        ("throughput",),
    ),
    Topic(
        ("Batching means processing several requests together.",),
        ("The weights are then read once for all of them, which raises the throughput.",),
        ("batching", "a batch", "batch processing"),
    ),
    Topic(
        ("To make a model faster, use a smaller model or fewer bits per weight.",),
        (
            "Keep the prompt short, so that prefill ends sooner.",
            "Use as many threads as there are fast cores, and not more.",
            "Memory with more bandwidth helps decoding.",
        ),
        (),
        (
            "How can I make a model faster?",
            "How do I speed up a language model?",
            "My model is slow. What can I do?",
            "Why is my model so slow?",
            "How can I get more tokens per second?",
            "How can I make my model faster?",
        ),
    ),
    Topic(
        ("Use as many threads as there are fast cores; more threads than that make a model slower.",),
        ("Edgewise chooses the number of threads by itself.", "`edgewise doctor` explains its choice."),
        (),
        (
            "How many threads should I use?",
            "How many threads are best?",
            "Do more threads make a model faster?",
            "What is the right number of threads?",
            "How many threads should Edgewise use?",
        ),
    ),
    Topic(
        ("Streaming means that the text is shown while it is written, token by token.",),
        ("You can start to read before the answer is complete.",),
        ("streaming", "token streaming"),
    ),
    Topic(
        ("Memory mapping lets a program use a file as if it were memory.",),
        ("Parts of the file are read only when they are needed, so a model starts quickly.",),
        ("memory mapping", "mmap", "a memory-mapped file"),
    ),
)
