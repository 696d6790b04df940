"""What a sweep is expected to show: a claim, judged on the sweep's run folders. Torch-free.

claim: section of a sweep file ─► Claim ─► measure every run ─► Judgement ─► verdict, picture, page
"""
