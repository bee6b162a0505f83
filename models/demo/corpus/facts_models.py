"""What the demo model knows about language models, their files and their speed."""

from .facts_speed import SPEED
from .topic import Topic

LEARNING = (
    Topic(
        (
            (
                "AI, short for artificial intelligence, means computer programs that do tasks "
                "which normally need human thinking."
            ),
            (
                "Artificial intelligence, or AI, is the art of making computers do things that "
                "normally need human thinking."
            ),
        ),
        (
            "Examples are understanding language, recognizing images and planning.",
            "Most AI today is machine learning: the program learns from examples instead of fixed rules.",
            "A language model like me is one kind of AI.",
        ),
        ("AI", "artificial intelligence", "A.I."),
        ("What does AI mean?", "What does AI stand for?", "How would you define artificial intelligence?"),
    ),
    Topic(
        (
            (
                "Machine learning is a way to make computers learn from examples instead of "
                "following rules written by hand."
            ),
            "Machine learning means that a program learns patterns from data instead of being told every rule.",
        ),
        (
            "A model is shown many examples and its numbers are adjusted until its predictions are good.",
            "Afterwards it can handle new examples that it has not seen before.",
            "Language models, spam filters and speech recognition all use it.",
        ),
        ("machine learning", "ML"),
        (
            "How does machine learning work?",
            "How do machines learn?",
            "How can a computer learn from data?",
            "How does a machine learn?",
            "How does machine learning actually work?",
        ),
    ),
    Topic(
        ("Deep learning is machine learning with neural networks that have many layers.",),
        (
            "Each layer turns its input into a slightly more useful form.",
            "It is behind modern speech recognition, image recognition and language models.",
        ),
        ("deep learning",),
    ),
    Topic(
        ("A neural network is a model made of layers of simple units that multiply, add and pass numbers on.",),
        (
            "Its numbers, called weights, are learned from examples.",
            "With enough layers and data it can learn very complex patterns.",
        ),
        ("a neural network", "neural networks", "a neural net"),
        ("How does a neural network work?",),
    ),
    Topic(
        (
            "A language model is a program that predicts the next piece of a text.",
            "A language model reads a text and predicts which piece of text comes next.",
        ),
        (
            "By predicting one token after another it can answer questions and tell stories.",
            "It learned this from many example texts.",
        ),
        ("a language model", "language models"),
        (
            "How does a language model work?",
            "How do language models write text?",
            "How does a language model make text?",
        ),
    ),
    Topic(
        ("LLM stands for large language model: a language model with many millions or billions of parameters.",),
        (
            "It learned from a very large amount of text.",
            "With quantization, many of them run on a laptop or even on a Raspberry Pi.",
        ),
        ("an LLM", "a large language model", "LLMs", "LLM"),
        ("What does LLM mean?", "What does LLM stand for?"),
    ),
    Topic(
        ("A transformer is the kind of neural network behind most language models.",),
        (
            "Its attention layers let every token look at the tokens before it.",
            "It alternates attention layers and feed-forward layers.",
        ),
        ("a transformer", "transformers", "the transformer architecture"),
    ),
    Topic(
        ("Attention is the part of a transformer that decides which earlier tokens matter for the next one.",),
        (
            "It compares a query with the key of every earlier token and mixes their values.",
            "Its cost grows with the length of the context.",
        ),
        ("attention", "the attention mechanism", "self-attention"),
        ("How does attention work?",),
    ),
    Topic(
        ("Parameters are the learned numbers of a model, also called weights.",),
        (
            "A model with 7 billion parameters is called a 7B model.",
            "More parameters can store more knowledge, but they need more memory and time.",
        ),
        ("parameters", "a parameter", "weights", "model weights"),
        ("What does 7B mean?", "What does the B in 7B mean?"),
    ),
    Topic(
        ("Training is the phase in which a model learns its weights from examples.",),
        (
            "It needs far more computing than using the model afterwards.",
            "Small models like me can be trained on a CPU.",
        ),
        ("training", "model training"),
        ("How is a model trained?", "How are language models trained?"),
    ),
    Topic(
        ("Inference means using a trained model, for example to write an answer.",),
        ("The weights stay as they are; they are only read.", "Edgewise is an engine for inference on small devices."),
        ("inference", "model inference"),
    ),
    Topic(
        ("Fine-tuning means training a finished model a little more, on examples of one special task.",),
        ("It needs much less data and time than training from the beginning.",),
        ("fine-tuning", "finetuning"),
    ),
    Topic(
        ("An embedding is a list of numbers that stands for the meaning of a token or a text.",),
        ("Texts with a similar meaning get similar embeddings.", "That makes embeddings useful for search."),
        ("an embedding", "embeddings"),
    ),
    Topic(
        ("Perplexity measures how surprised a language model is by a text; lower is better.",),
        ("It is used to see how much quality a quantized model has lost.",),
        ("perplexity",),
    ),
    Topic(
        ("A hallucination is an answer that sounds right but is not true.",),
        (
            "It happens because a language model predicts likely text and does not look facts up.",
            "So check important answers, above all those of small models.",
        ),
        ("a hallucination", "hallucinations", "hallucination"),
        ("Why do language models make mistakes?", "Why do models make things up?"),
    ),
)

TOKENS = (
    Topic(
        (
            "A token is a piece of text, often a word or a part of a word, that the model reads or writes in one step.",
            "A token is the unit of text that a language model works with: a word, a part of a word or a sign.",
        ),
        (
            "In English a token is about four characters on average for a large vocabulary.",
            "Speed is counted in tokens per second.",
        ),
        ("a token", "tokens"),
        ("How long is a token?", "How many characters are in a token?"),
    ),
    Topic(
        ("A tokenizer cuts text into tokens and turns each token into a number.",),
        (
            "It also turns the numbers of the answer back into text.",
            "Every model needs the tokenizer with which it was trained; a GGUF file brings it along.",
        ),
        ("a tokenizer", "tokenizers", "tokenization"),
    ),
    Topic(
        ("Byte pair encoding, or BPE, builds a vocabulary by joining the most frequent neighbours again and again.",),
        ("It starts from single bytes, so it can write any text.", "I use a byte-level BPE with 2048 tokens."),
        ("byte pair encoding", "BPE"),
    ),
    Topic(
        ("The vocabulary is the list of all tokens that a model can read and write.",),
        ("Mine has 2048 tokens; large models often have more than 100000.",),
        ("a vocabulary", "the vocabulary of a model"),
        ("How large is your vocabulary?", "How many tokens do you know?"),
    ),
    Topic(
        ("A prompt is the text that you give to a language model.",),
        ("The model reads it first and then writes its answer.", "A clear prompt gives a better answer."),
        ("a prompt", "prompts"),
    ),
    Topic(
        ("A system prompt is a text before the chat that tells the model how to behave.",),
        ("The user normally does not see it.",),
        ("a system prompt", "the system prompt"),
    ),
    Topic(
        ("A chat template says how the messages of a chat are written as one text for the model.",),
        ("It marks who is speaking and where each message ends.", "In a GGUF file it is part of the metadata."),
        ("a chat template", "chat templates"),
    ),
    Topic(
        ("The end token is a special token with which a model says that its answer is complete.",),
        ("When it appears, the engine stops.",),
        ("an end token", "the end token", "an EOS token"),
        ("How does a model know when to stop?", "When does a model stop writing?"),
    ),
    Topic(
        ("The context window is the number of tokens that a model can take into account at once.",),
        (
            "Prompt and answer must both fit into it.",
            "A longer context needs a larger KV cache, so it costs memory.",
            "Mine has 512 tokens.",
        ),
        ("the context window", "a context window", "context length", "the context of a model"),
    ),
    Topic(
        (
            (
                "When the context is full, the model can take in no more tokens: the answer "
                "ends, or the oldest text must be dropped."
            ),
        ),
        ("Start a new chat or choose a longer context.",),
        (),
        (
            "What happens when the context is full?",
            "What if my prompt is too long?",
            "What happens if the text is longer than the context?",
            "What do I do when the context is full?",
            "What happens if the context is full?",
        ),
    ),
    Topic(
        ("Temperature controls how random the choice of the next token is.",),
        (
            "At 0 the most likely token is always taken; around 0.7 the text varies.",
            "High values make the text creative but less reliable.",
        ),
        ("temperature", "the temperature of a model", "temperature in sampling"),
        ("What does temperature do?", "How does temperature change the answer?"),
    ),
    Topic(
        ("A temperature around 0.7 is a good start for chats and stories.",),
        ("For facts and code choose a low one, near 0.",),
        (),
        (
            "Which temperature should I use?",
            "What temperature is best?",
            "What is a good temperature?",
            "Which temperature do you recommend?",
            "What temperature should I choose?",
        ),
    ),
    Topic(
        ("Greedy decoding always takes the most likely next token.",),
        ("The same prompt then gives the same answer every time.",),
        ("greedy decoding", "greedy sampling"),
    ),
    Topic(
        ("Top-k sampling chooses the next token among the k most likely ones.",),
        ("A small k keeps the text on track.",),
        ("top-k", "top-k sampling", "top k"),
    ),
    Topic(
        ("Top-p sampling chooses among the most likely tokens whose probabilities add up to p.",),
        ("It keeps few candidates when the model is sure and more when it is not.",),
        ("top-p", "top-p sampling", "top p", "nucleus sampling"),
    ),
    Topic(
        ("Sampling is the step that chooses the next token from the probabilities of the model.",),
        ("Temperature, top-k and top-p control it.",),
        ("sampling", "a sampler"),
    ),
    Topic(
        ("A seed is the number from which random choices start.",),
        ("With the same seed, prompt and settings a model gives the same text again.",),
        ("a seed", "the seed", "a random seed"),
    ),
)

FILES = (
    Topic(
        (
            "Quantization stores the weights of a model with fewer bits, so that the model becomes smaller and faster.",
            "Quantization means storing the numbers of a model with fewer bits, for example 4 instead of 16.",
        ),
        (
            "A model with 4 bits per weight needs about a quarter of the memory of one with 16 bits.",
            "It costs a little quality, with 8 bits hardly any.",
            "It also makes decoding faster, because fewer bytes are read for each token.",
        ),
        ("quantization", "quantisation", "model quantization", "quantizing a model"),
        (
            "How does quantization work?",
            "Why do we quantize models?",
            "What does it mean to quantize a model?",
            "Why is quantization useful?",
            "What is quantization good for?",
            "Why are models quantized?",
        ),
    ),
    Topic(
        (
            (
                "Quantization costs a little quality: with 8 bits hardly any, with 4 bits a "
                "little, below 3 bits clearly more."
            ),
        ),
        (
            "Large models suffer less from it than small ones.",
            "For most uses, 4 or 5 bits per weight are a good choice.",
        ),
        (),
        (
            "Does quantization make a model worse?",
            "Does quantization hurt quality?",
            "How much quality does quantization cost?",
            "Is a quantized model less accurate?",
            "Do quantized models give worse answers?",
            "Is a quantized model worse?",
        ),
    ),
    Topic(
        ("For most devices Q4_K_M is a good choice: it is small and keeps most of the quality.",),
        (
            "Take Q8_0 if you have enough memory and want the best quality.",
            "Choose the largest file that leaves some memory free for the KV cache and other programs.",
        ),
        (),
        (
            "Which quantization should I use?",
            "Which quantization is best?",
            "Which format should I choose?",
            "What quantization do you recommend?",
            "Which quantized file should I pick?",
            "Which quantization is the best one?",
        ),
    ),
    Topic(
        ("GGUF is a file format for language models.", "GGUF is a file format that holds a whole language model."),
        (
            "One file holds the weights, the tokenizer and the settings of the model.",
            "It can be mapped into memory, so that loading is fast.",
            "It was made for llama.cpp, and Edgewise reads it too.",
        ),
        ("GGUF", "a GGUF file", "the GGUF format"),
        ("What is in a GGUF file?", "What does a GGUF file contain?", "Which file format does Edgewise use?"),
    ),
    Topic(
        ("Q8_0 stores each weight with 8 bits, and one scale for every block of 32 weights.",),
        ("That makes 8.5 bits per weight.", "Its quality is almost that of 16 bits."),
        ("Q8_0", "the Q8_0 format", "8-bit quantization"),
    ),
    Topic(
        ("Q4_0 stores each weight with 4 bits, and one scale for every block of 32 weights.",),
        ("That makes 4.5 bits per weight.", "It is simple and fast; Q4_K_M keeps a little more quality."),
        ("Q4_0", "the Q4_0 format", "4-bit quantization"),
    ),
    Topic(
        ("Q4_K_M is a mix of formats with 4 to 6 bits that keeps the important weights more exact.",),
        ("It needs a little less than 5 bits per weight.", "It is a good default for small devices."),
        ("Q4_K_M", "the Q4_K_M format"),
    ),
    Topic(
        ("F16 stores each number with 16 bits, half of the usual 32.",),
        ("Models are often published with 16 bits and then quantized.",),
        ("F16", "half precision", "FP16"),
    ),
    Topic(
        ("BF16 is a number format with 16 bits that has the range of 32-bit floats but fewer digits.",),
        ("Many models are trained with it.",),
        ("BF16", "bfloat16"),
    ),
    Topic(
        ("Metadata are the settings stored in a model file, such as its name, sizes, tokenizer and chat template.",),
        ("`edgewise show MODEL` prints them.",),
        ("metadata", "the metadata of a model"),
    ),
)

TOPICS = LEARNING + TOKENS + FILES + SPEED
