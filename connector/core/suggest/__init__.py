"""From a file that nobody has described yet to a first mapping for it.

The rows go by once (`Table.add`), in bounded memory; what was seen of the columns, and what they are called, becomes
the text of a mapping that loads as it is (`suggest`). What only a person can decide is said in its comments.
"""

from connector.core.suggest.columns import Table
from connector.core.suggest.names import KNOWN
from connector.core.suggest.text import suggest

__all__ = ["KNOWN", "Table", "suggest"]
