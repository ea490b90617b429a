"""The built-in strategies, each in its own folder, and what they share.

``rounds`` cuts a view into the smallest stretches that may leave, ``acts`` reads tool calls and their results,
``outcome`` says how they went, ``words`` what the user really said, ``placeholders`` writes what stands in for
what was cleared, ``estimate`` tells what a plan would free, and ``digest`` condenses a session without a model.
"""
