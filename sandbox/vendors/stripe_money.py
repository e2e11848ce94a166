"""Stripe's money: payment intents and their charges, refunds, disputes, payouts, the balance.

Every amount settles at once: a charge's net is available as soon as it is paid.
"""

from __future__ import annotations

from typing import Any

from sandbox.vendors.stripe_book import ADDRESS, SEARCHABLE, Book, Row, listing, new_id, now, nulls, shown
from sandbox.vendors.stripe_request import Given, Invalid, Operation, Refused, chargeable, missing, only

# The test payment methods that fail, and how. Every other pm_card_... pays.
DECLINES = {
    "pm_card_chargeCustomerFail": "generic_decline",
    "pm_card_visa_chargeDeclined": "generic_decline",
    "pm_card_visa_chargeDeclinedInsufficientFunds": "insufficient_funds",
    "pm_card_visa_chargeDeclinedLostCard": "lost_card",
    "pm_card_chargeDeclinedExpiredCard": "expired_card",
}
CARD = "pm_card_visa"
EVIDENCE = (
    "access_activity_log billing_address cancellation_policy cancellation_policy_disclosure cancellation_rebuttal "
    "customer_communication customer_email_address customer_name customer_purchase_ip customer_signature "
    "duplicate_charge_documentation duplicate_charge_explanation duplicate_charge_id product_description receipt "
    "refund_policy refund_policy_disclosure refund_refusal_explanation service_date service_documentation "
    "shipping_address shipping_carrier shipping_date shipping_documentation shipping_tracking_number uncategorized_file "
    "uncategorized_text"
)
REASONS = "duplicate|fraudulent|requested_by_customer"
DISPUTE_FEE = 1500


class Money:
    """Payment intents, charges, refunds, disputes, payouts, balance."""

    def __init__(self, book: Book) -> None:
        self.book = book
        book.extras["charge", "refunds"] = lambda row: listing(
            f"/v1/charges/{row['id']}/refunds", [shown(r) for r in book.all("refunds", charge=row["id"])]
        )

    def operations(self) -> list[Operation]:
        book = self.book
        intent = "amount:amount! currency:currency! confirm:bool payment_method customer description metadata:map "
        intent += (
            "capture_method:automatic|automatic_async|manual receipt_email payment_method_types:texts off_session:bool "
        )
        intent += "automatic_payment_methods:map return_url statement_descriptor"
        made = [
            Operation("POST", "payment_intents", self.create_intent, intent, "payment_intents.create"),
            Operation(
                "POST",
                "payment_intents/{id}/confirm",
                self.confirm,
                "payment_method return_url off_session:bool",
                "payment_intents.confirm",
            ),
            Operation(
                "POST",
                "payment_intents/{id}/capture",
                self.capture,
                "amount_to_capture:amount",
                "payment_intents.capture",
            ),
            Operation(
                "POST", "payment_intents/{id}/cancel", self.cancel, "cancellation_reason", "payment_intents.cancel"
            ),
            Operation(
                "POST",
                "refunds",
                self.create_refund,
                f"charge payment_intent amount:amount metadata:map reason:{REASONS}",
                "refunds.create",
            ),
            Operation(
                "POST",
                "refunds/{id}",
                lambda g, key: book.update(book.get("refunds", key), g, "refund.updated"),
                "metadata:map",
                "refunds.update",
            ),
            Operation(
                "POST", "disputes/{id}", self.update_dispute, "evidence:map submit:bool metadata:map", "disputes.update"
            ),
            Operation("POST", "disputes/{id}/close", self.close_dispute, "", "disputes.close"),
            Operation(
                "POST",
                "payouts",
                self.create_payout,
                "amount:amount! currency:currency! description metadata:map "
                "method:standard|instant statement_descriptor destination",
                "payouts.create",
            ),
            Operation("GET", "balance", self.balance),
        ]
        lists = {
            "payment_intents": "customer",
            "charges": "customer payment_intent",
            "refunds": "charge payment_intent",
            "disputes": "charge payment_intent",
            "payouts": "status arrival_date:when",
            "balance_transactions": "type source payout currency:currency",
        }
        for kind, filters in lists.items():
            made += self._reads(kind, filters)
        return made

    def _reads(self, kind: str, filters: str) -> list[Operation]:
        book = self.book
        found = Operation("GET", f"{kind}/search", lambda g, _: book.search(kind, g), "", f"{kind}.search")
        return [
            Operation("GET", kind, lambda g, _: book.page(kind, g), filters + " created:when", f"{kind}.list"),
            *([found] if kind in SEARCHABLE else []),
            Operation("GET", f"{kind}/{{id}}", lambda _, key: shown(book.get(kind, key))),
        ]

    # -- paying ------------------------------------------------------------------------------------------------------

    def create_intent(self, given: Given, _: str) -> Row:
        if given.get("customer"):
            self.book.named("customers", given["customer"], "customer")
        made = self.intent(chargeable(given["amount"]), given["currency"], given)
        if given.get("confirm"):
            self._pay(made)
        return shown(made)

    def intent(self, amount: int, currency: str, given: Given) -> Row:
        """Make an intent that waits for a payment method or for its confirmation."""
        method = given.get("payment_method")
        key = new_id("pi")
        fields = nulls(
            "application application_fee_amount canceled_at cancellation_reason last_payment_error latest_charge "
            "customer_account next_action on_behalf_of payment_method_configuration_details payment_record processing "
            "review setup_future_usage shipping source statement_descriptor_suffix transfer_data transfer_group"
        ) | {
            "id": key,
            "amount": amount,
            "amount_capturable": 0,
            "amount_details": {"tip": {}},
            "amount_received": 0,
            "automatic_payment_methods": None,
            "capture_method": given.get("capture_method") or "automatic",
            "client_secret": f"{key}_secret_{new_id('x')[2:]}",
            "confirmation_method": "automatic",
            "currency": currency,
            "customer": given.get("customer"),
            "description": given.get("description"),
            "payment_method": method,
            "payment_method_options": {},
            "payment_method_types": given.get("payment_method_types") or ["card"],
            "receipt_email": given.get("receipt_email"),
            "statement_descriptor": given.get("statement_descriptor"),
            "status": "requires_confirmation" if method else "requires_payment_method",
        }
        made = self.book.new("payment_intents", fields, given.get("metadata"))
        self.book.announce("payment_intent.created", made)
        return made

    def confirm(self, given: Given, key: str) -> Row:
        found = self._intent_in(key, ("requires_confirmation", "requires_payment_method"), "confirm")
        if given.get("payment_method"):
            self.book.change(found, {"payment_method": given["payment_method"]})
        self._pay(found)
        return shown(found)

    def capture(self, given: Given, key: str) -> Row:
        found = self._intent_in(key, ("requires_capture",), "capture")
        amount = given.get("amount_to_capture") or found["amount_capturable"]
        if amount > found["amount_capturable"]:
            raise Invalid("amount_to_capture is more than can be captured", "amount_to_capture", "amount_too_large")
        charge = self.book.get("charges", found["latest_charge"])
        self._settle(charge, amount)
        self._succeed(found, amount)
        self.book.announce("charge.captured", charge)
        return shown(found)

    def cancel(self, given: Given, key: str) -> Row:
        states = ("requires_payment_method", "requires_confirmation", "requires_capture")
        found = self._intent_in(key, states, "cancel")
        self.book.change(
            found,
            {
                "status": "canceled",
                "canceled_at": now(),
                "amount_capturable": 0,
                "cancellation_reason": given.get("cancellation_reason"),
            },
        )
        self.book.announce("payment_intent.canceled", found)
        return shown(found)

    def pay_now(self, amount: int, currency: str, given: Given) -> Row:
        """An intent made and confirmed at once; returns it, refuses when the card does."""
        made = self.intent(amount, currency, given)
        self._pay(made)
        return made

    def _intent_in(self, key: str, states: tuple[str, ...], verb: str) -> Row:
        found = self.book.get("payment_intents", key)
        if found["status"] not in states:
            message = f"You cannot {verb} this PaymentIntent because it has a status of {found['status']}."
            raise Refused(message, code="payment_intent_unexpected_state", payment_intent=shown(found))
        return found

    def _pay(self, intent: Row) -> None:
        method = intent["payment_method"]
        if not method:
            raise Refused(
                "You cannot confirm this PaymentIntent because it's missing a payment method.",
                code="payment_intent_unexpected_state",
                payment_intent=shown(intent),
            )
        if not str(method).startswith("pm_"):
            raise Refused(f"No such PaymentMethod: '{method}'", code="resource_missing", param="payment_method")
        if reason := DECLINES.get(method):
            self._decline(intent, reason)
        charge = self._charge(intent, paid=True)
        self.book.change(intent, {"latest_charge": charge["id"]})
        if intent["capture_method"] == "manual":
            self.book.change(intent, {"status": "requires_capture", "amount_capturable": intent["amount"]})
            self.book.announce("payment_intent.amount_capturable_updated", intent)
            return
        self._settle(charge, intent["amount"])
        self.book.announce("charge.succeeded", charge)
        self._succeed(intent, intent["amount"])

    def _succeed(self, intent: Row, amount: int) -> None:
        self.book.change(
            intent,
            {"status": "succeeded", "amount_received": amount, "amount_capturable": 0, "last_payment_error": None},
        )
        self.book.announce("payment_intent.succeeded", intent)

    def _decline(self, intent: Row, reason: str) -> None:
        code = "expired_card" if reason == "expired_card" else "card_declined"
        charge = self._charge(intent, paid=False)
        self.book.change(charge, {"failure_code": code, "failure_message": "Your card was declined."})
        refusal = Refused(
            "Your card was declined.",
            status=402,
            kind="card_error",
            code=code,
            decline_code=reason,
            charge=charge["id"],
        )
        self.book.change(
            intent,
            {
                "status": "requires_payment_method",
                "latest_charge": charge["id"],
                "payment_method": None,
                "last_payment_error": dict(refusal.error),
            },
        )
        self.book.announce("charge.failed", charge)
        self.book.announce("payment_intent.payment_failed", intent)
        refusal.error["payment_intent"] = shown(intent)
        raise refusal

    def _charge(self, intent: Row, *, paid: bool) -> Row:
        customer = self.book.rows["customers"].get(intent["customer"], {})
        details = {
            "address": nulls(ADDRESS),
            "email": customer.get("email"),
            "name": customer.get("name"),
            "phone": customer.get("phone"),
            "tax_id": None,
        }
        card = {
            "brand": "visa",
            "country": "US",
            "exp_month": 8,
            "exp_year": 2030,
            "funding": "credit",
            "last4": "4242",
            "network": "visa",
        }
        fields = nulls(
            "application application_fee application_fee_amount balance_transaction failure_balance_transaction "
            "failure_code failure_message on_behalf_of receipt_number review shipping source source_transfer "
            "statement_descriptor statement_descriptor_suffix transfer_data transfer_group"
        ) | {
            "amount": intent["amount"],
            "amount_captured": 0,
            "amount_refunded": 0,
            "billing_details": details,
            "calculated_statement_descriptor": None,
            "captured": False,
            "currency": intent["currency"],
            "customer": intent["customer"],
            "description": intent["description"],
            "disputed": False,
            "fraud_details": {},
            "outcome": {
                "network_status": "approved_by_network" if paid else "declined_by_network",
                "reason": None,
                "type": "authorized" if paid else "issuer_declined",
            },
            "paid": paid,
            "payment_intent": intent["id"],
            "payment_method": intent["payment_method"],
            "payment_method_details": {"card": card, "type": "card"},
            "receipt_email": intent["receipt_email"],
            "receipt_url": None,
            "refunded": False,
            "status": "succeeded" if paid else "failed",
        }
        return self.book.new("charges", fields, intent["metadata"])

    def _settle(self, charge: Row, amount: int) -> None:
        entry = self._entry("charge", amount, charge, fee=round(amount * 0.029) + 30)
        self.book.change(charge, {"captured": True, "amount_captured": amount, "balance_transaction": entry["id"]})

    def _entry(self, kind: str, amount: int, source: Row, fee: int = 0) -> Row:
        """A line of the account's balance."""
        details = (
            [
                {
                    "amount": fee,
                    "application": None,
                    "currency": source["currency"],
                    "type": "stripe_fee",
                    "description": "Stripe processing fees",
                }
            ]
            if fee
            else []
        )
        fields = {
            "amount": amount,
            "available_on": now(),
            "balance_type": "payments",
            "currency": source["currency"],
            "description": source.get("description"),
            "exchange_rate": None,
            "fee": fee,
            "fee_details": details,
            "net": amount - fee,
            "reporting_category": kind,
            "source": source["id"],
            "status": "available",
            "type": "adjustment" if kind == "dispute" else kind,
            "_payout": None,
        }
        return self.book.new("balance_transactions", fields)

    # -- refunds -----------------------------------------------------------------------------------------------------

    def create_refund(self, given: Given, _: str) -> Row:
        charge = self._refundable(given)
        left = charge["amount_captured"] - charge["amount_refunded"]
        amount = given.get("amount") or left
        if charge["disputed"]:
            raise Refused(
                f"Charge {charge['id']} has been charged back; cannot issue a refund.", code="charge_disputed"
            )
        if left == 0:
            raise Refused(f"Charge {charge['id']} has already been refunded.", code="charge_already_refunded")
        if amount > left:
            raise Refused(
                f"Refund amount ({amount}) is greater than unrefunded amount on charge ({left})", param="amount"
            )
        fields = nulls(
            "customer_account failure_balance_transaction next_action receipt_number source_transfer_reversal "
            "pending_reason transfer_reversal"
        ) | {
            "amount": amount,
            "charge": charge["id"],
            "currency": charge["currency"],
            "customer": charge["customer"],
            "balance_transaction": None,
            "payment_intent": charge["payment_intent"],
            "reason": given.get("reason"),
            "payment_method": charge["payment_method"],
            "status": "succeeded",
            "destination_details": {"card": {"type": "refund"}, "type": "card"},
        }
        made = self.book.new("refunds", fields, given.get("metadata"))
        self.book.change(made, {"balance_transaction": self._entry("refund", -amount, made)["id"]})
        total = charge["amount_refunded"] + amount
        before = self.book.change(charge, {"amount_refunded": total, "refunded": total == charge["amount_captured"]})
        self.book.announce("refund.created", made)
        self.book.announce("charge.refunded", charge, before)
        return shown(made)

    def _refundable(self, given: Given) -> Row:
        if given.get("charge") and given.get("payment_intent"):
            raise Invalid("charge and payment_intent exclude each other", "charge", "parameters_exclusive")
        if given.get("charge"):
            found = self.book.named("charges", given["charge"], "charge")
        elif given.get("payment_intent"):
            intent = self.book.named("payment_intents", given["payment_intent"], "payment_intent")
            found = self.book.rows["charges"].get(intent["latest_charge"], {})
        else:
            raise missing("charge")
        if found.get("status") != "succeeded" or not found["captured"]:
            raise Refused("There is no successful charge to refund.", code="charge_not_refundable")
        return found

    # -- disputes ----------------------------------------------------------------------------------------------------

    def open_dispute(self, charge: Row, reason: str, amount: int) -> Row:
        """A card holder's bank takes the money back for now."""
        if charge["disputed"]:
            raise Refused(f"Charge {charge['id']} is disputed already.", code="charge_disputed")
        evidence = {
            "due_by": now() + 14 * 86400,
            "has_evidence": False,
            "past_due": False,
            "submission_count": 0,
            "enhanced_eligibility": {},
        }
        card = {"brand": "visa", "case_type": "chargeback", "network_reason_code": "10.4"}
        fields: Row = {
            "amount": amount,
            "balance_transactions": [],
            "charge": charge["id"],
            "currency": charge["currency"],
            "enhanced_eligibility_types": [],
            "evidence": nulls(EVIDENCE),
            "evidence_details": evidence,
            "is_charge_refundable": False,
            "payment_intent": charge["payment_intent"],
            "payment_method_details": {"card": card, "type": "card"},
            "reason": reason,
            "status": "needs_response",
        }
        made = self.book.new("disputes", fields)
        self.book.change(
            made, {"balance_transactions": [shown(self._entry("dispute", -amount, made, fee=DISPUTE_FEE))]}
        )
        self.book.change(charge, {"disputed": True})
        self.book.announce("charge.dispute.created", made)
        self.book.announce("charge.dispute.funds_withdrawn", made)
        return made

    def update_dispute(self, given: Given, key: str) -> Row:
        found = self._open(key)
        fields = {"metadata": given["metadata"]} if "metadata" in given else {}
        if given.get("evidence") is not None:
            fields["evidence"] = found["evidence"] | only(given["evidence"], "evidence", EVIDENCE)
            has = any(value is not None for value in fields["evidence"].values())
            fields["evidence_details"] = found["evidence_details"] | {"has_evidence": has}
        if given.get("submit", "evidence" in given):
            details: Row = fields.get("evidence_details") or found["evidence_details"]
            fields["evidence_details"] = details | {"submission_count": details["submission_count"] + 1}
            fields["status"] = "under_review"
        return self.book.update(found, fields, "charge.dispute.updated")

    def close_dispute(self, _: Given, key: str) -> Row:
        return shown(self.decide(self.book.get("disputes", key), won=False))

    def decide(self, dispute: Row, *, won: bool) -> Row:
        """The end of a dispute; the money returns when it was won."""
        self._open(dispute["id"])
        self.book.change(dispute, {"status": "won" if won else "lost"})
        if won:
            back = shown(self._entry("dispute_reversal", dispute["amount"], dispute))
            self.book.change(dispute, {"balance_transactions": [*dispute["balance_transactions"], back]})
            self.book.announce("charge.dispute.funds_reinstated", dispute)
        self.book.announce("charge.dispute.closed", dispute)
        return dispute

    def _open(self, key: str) -> Row:
        found = self.book.get("disputes", key)
        if found["status"] in ("won", "lost"):
            raise Refused("This dispute is already closed", code="dispute_closed")
        return found

    # -- payouts and the balance -------------------------------------------------------------------------------------

    def create_payout(self, given: Given, _: str) -> Row:
        return shown(self.payout(given["amount"], given["currency"], given, automatic=False))

    def payout(self, amount: int, currency: str, given: Given, *, automatic: bool) -> Row:
        """Money on its way to the bank."""
        if amount < 1:
            raise Invalid("This value must be greater than or equal to 1.", "amount", "parameter_invalid_integer")
        if amount > self.available(currency):
            raise Refused(
                "You have insufficient funds in your Stripe account.", code="balance_insufficient", param="amount"
            )
        fields: Row = nulls(
            "application_fee application_fee_amount failure_balance_transaction failure_code "
            "failure_message original_payout payout_method reversed_by statement_descriptor"
        ) | {
            "amount": amount,
            "arrival_date": now() + 2 * 86400,
            "automatic": automatic,
            "balance_transaction": None,
            "currency": currency,
            "description": given.get("description") or "STRIPE PAYOUT",
            "destination": given.get("destination") or "ba_sandbox",
            "method": given.get("method") or "standard",
            "reconciliation_status": "completed" if automatic else "not_applicable",
            "source_type": "card",
            "status": "pending",
            "trace_id": None,
            "type": "bank_account",
        }
        made = self.book.new("payouts", fields, given.get("metadata"))
        self.book.change(made, {"balance_transaction": self._entry("payout", -amount, made)["id"]})
        if automatic:
            for entry in self.book.all("balance_transactions", _payout=None, currency=currency):
                self.book.change(entry, {"_payout": made["id"]})
        self.book.announce("payout.created", made)
        return made

    def finish_payout(self, payout: Row, *, paid: bool) -> Row:
        """The bank has the money, or sent it back."""
        if payout["status"] not in ("pending", "in_transit"):
            raise Refused(f"The payout is already {payout['status']}.")
        if paid:
            self.book.change(payout, {"status": "paid", "arrival_date": now()})
        else:
            entry = self._entry("payout_failure", payout["amount"], payout)
            self.book.change(
                payout,
                {
                    "status": "failed",
                    "failure_code": "account_closed",
                    "failure_message": "The bank account has been closed.",
                    "failure_balance_transaction": entry["id"],
                },
            )
        self.book.announce("payout.paid" if paid else "payout.failed", payout)
        return payout

    def available(self, currency: str) -> int:
        return sum(entry["net"] for entry in self.book.all("balance_transactions", currency=currency))

    def balance(self, _: Given, __: str) -> Row:
        currencies = sorted({entry["currency"] for entry in self.book.all("balance_transactions")}) or ["usd"]
        amounts: list[dict[str, Any]] = [{"amount": self.available(c), "currency": c} for c in currencies]
        return {
            "object": "balance",
            "livemode": False,
            "available": [a | {"source_types": {"card": a["amount"]}} for a in amounts],
            "pending": [{"amount": 0, "currency": c, "source_types": {"card": 0}} for c in currencies],
        }
