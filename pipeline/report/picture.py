"""What is shown as a picture: inline SVG or a PNG as a data: URI, and what it says in words."""

from __future__ import annotations

import base64
import dataclasses

from markupsafe import Markup


@dataclasses.dataclass(frozen=True, kw_only=True)
class Picture:
    """A picture.

    Attributes:
      text: what it shows, in words and figures, for whoever cannot see it.
      svg: the picture as an SVG element; empty for a PNG.
      png: the picture as a PNG file; empty for an SVG.
      width: in CSS pixels, where it has the room.
      height: the same; with `width`, the ratio of its sides.
      ink: whether it is dark ink on nothing, to be turned to light ink on a dark page.
    """

    text: str
    svg: Markup = dataclasses.field(default=Markup(), repr=False)
    png: bytes = dataclasses.field(default=b"", repr=False)
    width: int
    height: int
    ink: bool = False

    @property
    def uri(self) -> str:
        """The PNG as a data: URI."""
        return f"data:image/png;base64,{base64.b64encode(self.png).decode()}"
