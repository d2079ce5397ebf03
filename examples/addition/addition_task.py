"""What Thinkling should know of additions such as `407+58=`: a plug-in, named with --task."""


def _numbers(question):
    return question.rstrip("=").split("+")


def symmetry(question, answer, random):
    """a+b is b+a: training sees both."""
    left, right = _numbers(question)
    if random.random() < 0.5:
        left, right = right, left
    return f"{left}+{right}=", answer


def canonical(question):
    """What a+b and b+a have in common: they stay on one side of the split into training and test."""
    return "+".join(sorted(_numbers(question)))


def check(question, answer):
    """Whether an answer is right, without having seen it."""
    left, right = _numbers(question)
    return answer == str(int(left) + int(right))


def validate(question):
    """What is wrong with a question that a user types; None where nothing is."""
    numbers = _numbers(question)
    if len(numbers) == 2 and all(number.isdigit() for number in numbers) and question.endswith("="):
        return None
    return "no sum of two numbers, such as 407+58="
