"""The policies of a running gateway, for the catalogue that it has. Made anew whenever the catalogue changes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from services.tool_gateway.catalogue.catalogue import Catalogue
from services.tool_gateway.policy.engine import Policies
from shared.business import Business


class Rulebook:
    """Holds the policies of the moment; its content can be exchanged while it is in use."""

    def __init__(
        self,
        texts: Mapping[str, str],
        catalogue: Catalogue,
        insiders: Iterable[str] = (),
        business: Business | None = None,
    ) -> None:
        """`insiders`: numbers and mail addresses of the business's own people; `business` says when people are left alone.

        Raises BadInput when policies and catalogue do not fit.
        """
        self._texts = dict(texts)
        self._insiders = tuple(insiders)
        self._business = business
        self.policies = self.made_for(catalogue)

    def made_for(self, catalogue: Catalogue) -> Policies:
        """The same texts for another catalogue. Raises BadInput."""
        return Policies(self._texts, catalogue, self._insiders, self._business)

    def take(self, policies: Policies) -> None:
        """Judge by these from now on."""
        self.policies = policies
