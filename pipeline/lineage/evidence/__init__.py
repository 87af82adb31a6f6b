"""Evidence about a served version for an auditor: a page to read or print, or a package that is checked offline.

In: a root and a version. `facts` collects what is known as one frozen value, `words` says it in sentences, `page` and `pdf`
set it, `package` puts it into a zip with everything that it rests on, and `check` is the script in that zip.
"""

from pipeline.lineage.evidence.facts import Facts as Facts
from pipeline.lineage.evidence.facts import collect_facts as collect_facts
from pipeline.lineage.evidence.write import FORMS as FORMS
from pipeline.lineage.evidence.write import write_evidence as write_evidence
