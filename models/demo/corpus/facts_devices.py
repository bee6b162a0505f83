"""What the demo model knows about devices and programs."""

from .topic import Topic

DEVICES = (
    Topic(
        (
            "Yes, a Raspberry Pi can run a small language model.",
            "Yes. A Raspberry Pi 5 can run small language models, above all quantized ones.",
        ),
        (
            "A quantized model with about 1 billion parameters fits well into its memory.",
            "It writes a few tokens per second, and no internet is needed.",
            "Choose a model of 4 bits per weight that leaves some memory free.",
        ),
        (),
        (
            "Can a Raspberry Pi run a language model?",
            "Can I run a language model on a Raspberry Pi?",
            "Does a language model run on a Raspberry Pi?",
            "Can a Raspberry Pi run AI?",
            "Will an LLM run on a Raspberry Pi?",
            "Can I use a Raspberry Pi for AI?",
            "Is a Raspberry Pi fast enough for a language model?",
            "Can my Raspberry Pi run an LLM?",
            "Will a Raspberry Pi run a language model?",
        ),
    ),
    Topic(
        ("A Raspberry Pi is a small, cheap computer on a single board.",),
        ("It has an Arm processor and usually runs Linux.", "It can run small quantized language models."),
        ("a Raspberry Pi", "the Raspberry Pi", "Raspberry Pi"),
    ),
    Topic(
        ("Yes, most laptops can run a quantized language model without a graphics card.",),
        (
            "With 8 GB of memory, models up to about 7 billion parameters in 4 bits are possible.",
            "Smaller models answer faster.",
        ),
        (),
        (
            "Can my laptop run a language model?",
            "Can I run an LLM on my laptop?",
            "Does a language model run on a laptop?",
            "Can I run AI on a normal computer?",
            "Will a language model work on my old laptop?",
            "Can a laptop run a language model?",
        ),
    ),
    Topic(
        ("Yes, a modern phone can run a small quantized language model.",),
        (
            "Models with 1 to 3 billion parameters in 4 bits are a good size.",
            "It works without a network, but it uses the battery.",
        ),
        (),
        (
            "Can a phone run a language model?",
            "Can I run an LLM on my phone?",
            "Does AI run on a smartphone?",
            "Can my smartphone run a language model?",
            "Can I run a language model on my phone?",
        ),
    ),
    Topic(
        ("You do not need a graphics card to run a small language model.",),
        (
            "A normal CPU is enough for quantized models of a few billion parameters.",
            "A GPU is faster for large models and long prompts.",
        ),
        (),
        (
            "Do I need a GPU?",
            "Do I need a graphics card to run a language model?",
            "Does Edgewise need a GPU?",
            "Can I run a model without a GPU?",
            "Is a GPU needed to run a language model?",
            "Do I need a GPU to run a model?",
        ),
    ),
    Topic(
        ("No, a local model needs no internet once its file is on the device.",),
        (
            "Everything is computed on your own device.",
            "That is useful on the road, in factories and wherever data must stay private.",
        ),
        (),
        (
            "Do I need internet to run a model?",
            "Do you need the internet?",
            "Is an internet connection needed?",
            "Does Edgewise need the internet?",
            "Do I have to be online to run a model?",
            "Do I need the internet to run a model?",
        ),
    ),
    Topic(
        ("Yes, a local model works offline once its file is on the device.",),
        (
            "Everything is computed on your own device.",
            "That is useful on the road and wherever data must stay private.",
        ),
        (),
        (
            "Does it work offline?",
            "Can I use a language model offline?",
            "Does a local model work without internet?",
            "Does Edgewise work offline?",
            "Can I run AI without internet?",
            "Can a model work offline?",
            "Can I run a model offline?",
        ),
    ),
    Topic(
        ("A local model is private: your text stays on your device.",),
        ("No server sees your questions.", "Edgewise sends no telemetry."),
        (),
        (
            "Is a local model private?",
            "Is my data safe with a local model?",
            "Does Edgewise send my data anywhere?",
            "Who can see my questions?",
            "Does my text leave my device?",
            "Is a language model on my device private?",
        ),
    ),
    Topic(
        ("A local model keeps your data private, works without internet and costs nothing per question.",),
        ("It also answers without network delay.", "Its limit is the memory and speed of your device."),
        (),
        (
            "Why should I run a model locally?",
            "What are the advantages of a local model?",
            "Why run AI on my own device?",
            "Why use a local language model?",
            "What is good about running a model on my own computer?",
            "Why should I run a language model on my own device?",
        ),
    ),
    Topic(
        ("An edge device is a computer close to where data is made and used, such as a phone, a camera or a gateway.",),
        ("It has less memory and power than a server.",),
        ("an edge device", "edge devices"),
    ),
    Topic(
        ("Edge computing means processing data on or near the device instead of in a distant data center.",),
        ("It saves time and network traffic and keeps data private.",),
        ("edge computing", "edge AI"),
    ),
    Topic(
        ("IoT means Internet of Things: everyday devices with sensors that are connected to a network.",),
        ("A gateway collects their data and can run a small model.",),
        ("IoT", "the Internet of Things", "an IoT device"),
    ),
    Topic(
        ("A CPU is the main processor of a computer; it runs the instructions of programs.",),
        ("Edgewise runs language models on it, with the fastest instructions that it has.",),
        ("a CPU", "CPUs", "a processor"),
    ),
    Topic(
        ("A GPU is a processor made for graphics that does very many simple computations at once.",),
        ("It is fast for large language models, but small models run well without one.",),
        ("a GPU", "GPUs", "a graphics card"),
    ),
    Topic(
        ("An NPU is a processor made for neural networks, found in many new phones and laptops.",),
        ("It saves energy when it runs a model.",),
        ("an NPU", "NPUs"),
    ),
    Topic(
        ("RAM is the working memory of a computer.",),
        (
            "The weights of a model and its KV cache must fit into it.",
            "It is much faster than a disk, but empty after power off.",
        ),
        ("RAM", "memory", "working memory"),
    ),
    Topic(
        ("SIMD means that one instruction of a processor works on several numbers at once.",),
        ("Examples are AVX2 and AVX-512 on x86 and NEON on Arm.",),
        ("SIMD", "SIMD instructions"),
    ),
    Topic(
        ("NEON is the set of SIMD instructions of Arm processors.",),
        ("Newer processors add dot products, which make quantized models faster.",),
        ("NEON", "Arm NEON"),
    ),
    Topic(
        ("AVX-512 is a set of instructions for x86 processors that works on 512 bits at once.",),
        ("Its VNNI part multiplies small integers quickly, which suits quantized models.",),
        ("AVX-512", "AVX512"),
    ),
    Topic(
        ("A thread is a sequence of instructions that a processor core runs.",),
        ("Several threads can share the work of a model.",),
        ("a thread", "threads"),
    ),
    Topic(
        ("A sensor is a device that measures something, such as temperature, light or motion.",),
        (),
        ("a sensor", "sensors"),
    ),
    Topic(
        ("A computer is a machine that follows instructions to work with data.",),
        ("Phones, laptops and the Raspberry Pi are all computers.",),
        ("a computer", "computers"),
    ),
    Topic(
        ("The cloud means computers in distant data centers that you use over the internet.",),
        ("A local model does not need it.",),
        ("the cloud", "cloud computing"),
    ),
    Topic(("The internet is a worldwide network that connects computers.",), (), ("the internet",)),
)

PROGRAMS = (
    Topic(
        (
            "Python is a popular programming language that is easy to read and to learn.",
            "Python is a programming language known for its clear and simple style.",
        ),
        (
            "It is used for web services, data science and machine learning.",
            "Edgewise can be used from Python.",
            "It was first released in 1991.",
        ),
        ("Python", "the Python language", "Python programming"),
        ("What is Python used for?", "Why do people use Python?", "Is Python a programming language?"),
    ),
    Topic(
        ("Rust is a programming language that is fast and protects programs from many memory errors.",),
        ("The core of Edgewise is written in it.",),
        ("Rust", "the Rust language"),
    ),
    Topic(
        ("Linux is a free operating system that runs on servers, phones and small devices.",),
        ("The Raspberry Pi usually runs it.",),
        ("Linux",),
    ),
    Topic(
        ("Open source means that everybody may read, use and change the source code of a program.",),
        ("Edgewise is open source under the MIT license.",),
        ("open source", "open-source software"),
    ),
    Topic(
        ("An algorithm is a list of clear steps that solves a problem.",),
        ("A recipe for baking bread is a good example.",),
        ("an algorithm", "algorithms"),
    ),
    Topic(
        ("A program is a list of instructions that a computer follows.",),
        (),
        ("a program", "software", "a computer program"),
    ),
    Topic(
        ("An API is a set of rules by which programs talk to each other.",),
        ("Edgewise speaks the APIs of OpenAI, Ollama and Anthropic.",),
        ("an API", "APIs"),
    ),
    Topic(("A bit is the smallest unit of data: 0 or 1.",), ("Eight bits make one byte.",), ("a bit", "bits")),
    Topic(
        ("A byte is a unit of data made of 8 bits.",),
        ("A gigabyte is about one billion bytes.",),
        ("a byte", "bytes"),
        ("How many bits are in a byte?",),
    ),
    Topic(
        ("A gigabyte, or GB, is one billion bytes.",),
        ("A 7B model with 4 bits per weight needs about 4 of them.",),
        ("a gigabyte", "a GB"),
    ),
    Topic(
        ("llama.cpp is an open-source engine in C++ that runs language models on many devices.",),
        ("It introduced the GGUF format.", "Edgewise can use it for models that its own core does not know."),
        ("llama.cpp",),
    ),
    Topic(
        ("Ollama is a program that downloads and runs language models on your own computer.",),
        ("Edgewise speaks the same protocol.",),
        ("Ollama",),
    ),
)

TOPICS = DEVICES + PROGRAMS
