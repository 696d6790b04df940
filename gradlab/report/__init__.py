"""A report: one page of HTML in one file, which is mailed, opened without a network, printed, or read on a phone.

    markup     text ─► HTML that nothing can break out of
    thinning   many steps ─► a few columns, with smallest and largest values
    numbers    a run ─► what its pictures draw       evidence   a finding ─► what of it they mark
    pictures   empty pictures (Bokeh)                page.js    fills them, follows the controls, sorts tables
    comparison runs side by side, and their claim
    network    the list of modules                   run        the sections of a run
    notebook   a run and its findings, shown in a notebook
    page       all of that in one file               pages      the page of a run, and of many

Bokeh takes half a second to import; nothing here is imported before somebody asks for a report.
"""
