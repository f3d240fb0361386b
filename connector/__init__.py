"""HR's knowledge of people, brought into Microsoft 365 Copilot.

::

    export ─▶ read & map ─▶ plan against the ledger ─▶ guards ─▶ apply ─▶ settle ─▶ report
     core/export  core/mapping     core/plan          core/guards  apply   core/ledger  core/report
                  core/accounts

Three kinds of modules live here, and each line of the package belongs to one of them:

* **decide**: ``core`` holds values and pure functions. What a row means, what has changed, what is too much.
* **talk**: ``graph`` speaks to Microsoft Graph, ``storage`` to blobs, ``pages`` to people's eyes. They decide nothing.
* **combine**: ``sync``, ``provision``, ``status`` and ``doctor`` are the use cases; ``wiring`` gives them their
  collaborators; ``function_app.py`` and ``__main__`` are two doors to the same rooms.

Imports point downwards only (import-linter checks it):
``function_app, __main__ → wiring → use cases → apply → graph | storage | pages → core → errors``.
"""
