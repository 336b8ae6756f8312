"""The central formulas of chapters/proofs/linear_chain.md, stored once: as the page prints them.

`FORMULAS["pstar"](Fraction(1, 2))` computes with the printed text, so what is checked is what is read. `DISPLAYS` holds
each display of the page in which such formulas stand, with «name» in their places; the tests compare it with the page.
"""

from ntprl.proofs.latex import Expression

L, LL, D, E = r"\lambda", r"\lambda_L", r"\delta", r"\varepsilon"

FORMULAS: dict[str, Expression] = {
    "first-token": Expression(r"\tfrac{1+p}{2}", "p"),
    "first-logit": Expression(r"\ln\tfrac{1+p}{1-p}", "p"),
    "stop-logit": Expression(r"\ln\tfrac{1-p}{2p}", "p"),
    # 3. ridge
    "bias-first": Expression(r"\lambda\ln\tfrac{1+p}{1-p}", f"{L} p"),
    "bias-stop": Expression(r"\tfrac{\lambda}{1+p}\left|\ln\tfrac{1-p}{2p}\right|", f"{L} p"),
    "bias-wrong": Expression(r"\tfrac{\lambda}{2}\ln\tfrac{1}{\lambda}", L),
    "bias-root": Expression(r"\sqrt{\tfrac{\lambda}{e(1-p)}}", f"{L} e p"),
    "bias-link": Expression(r"\lambda_L\ln\tfrac{1}{\lambda_L}", LL),
    # 4. SGD
    "rate": Expression(r"\frac{m}{2\lambda T}\left(\tfrac32 + \ln T\right)", f"m {L} T"),
    "zeta": Expression(r"\frac{1}{\lambda}\sqrt{\frac{m}{\delta T}\left(\tfrac32 + \ln T\right)}", f"m {L} T {D}"),
    "steps": Expression(r"\frac2B\ln\frac4B", "B"),
    # 5. Theorem 1
    "ridge": Expression(r"\frac{\varepsilon}{32\ln\frac8\varepsilon}", E),
    "ridge-link": Expression(r"\frac{\varepsilon}{4e(d-1)\ln\frac{2e(d-1)}{\varepsilon}}", f"d {E} e"),
    "budget": Expression(r"\frac{64(d+1)^2}{\delta\lambda^2\varepsilon^2}", f"d {D} {L} {E}"),
    "budget-link": Expression(r"\frac{18d^2(d-1)}{\delta\lambda_L^2}", f"d {D} {LL}"),
    # 6. Theorem 2
    "kept": Expression(r"\frac{2p}{1+p}", "p"),
    "map": Expression(r"\frac{2p_n}{1 + p_n}", "p_n"),
    "growth": Expression(r"2^n\frac{p_0}{1-p_0}", "p_0 n"),
    "doubling": Expression(r"2\,\mathrm{odds}(p_n)", r"\mathrm{odds}(p_n)"),
    "solution": Expression(r"\frac{2^np_0}{2^np_0 + 1 - p_0}", "p_0 n"),
    "rounds": Expression(r"\log_2\frac{1-p_0}{2p_0}", "p_0"),
    "safe-rounds": Expression(r"\left\lceil\log_2\frac{1-p_0}{p_0} - \frac12\right\rceil", "p_0"),
    "weight": Expression(r"\frac{q(1-q)}{1+q}", "q"),
    "slope": Expression(r"\frac{2q(1-q)}{(1+q)(1+3q)}", "q"),
    "copy-stop": Expression("2E^2", "E"),
    "copy-first": Expression(r"1.6\,\gamma(q)\,\|\xi\| + 4.1\,E^2", r"\gamma(q) \|\xi\| E"),
    "round-stop": Expression(
        r"2E^2 + 2\tau + \frac{.8\,\lambda}{W(q')}\left|\alpha(q')\right|"
        r" + \frac{1.5\,\lambda}{W(q')}\ln\tfrac1\lambda \cdot (E + 2\tau)",
        r"E \tau \lambda W(q') \alpha(q')",
    ),
    "round-first": Expression(
        r"1.6\,\gamma(q)\,\|\xi\| + 4.1\,E^2 + 6\tau + 22\lambda", r"\gamma(q) \|\xi\| E \tau \lambda"
    ),
    "round-wrong": Expression(r"4\lambda\ln\tfrac1\lambda", L),
    "star-size": Expression(
        r"\min\left\{\frac{\varepsilon}{2\sqrt d}, \frac{1}{46\sqrt d}, \frac{1}{34n_0}\right\}", f"{E} d n_0"
    ),
    "star-ridge": Expression(r"\frac{p_0\hat E}{200}", r"p_0 \hat{}E"),
    "star-ridge-link": Expression(r"\frac{\hat E}{70\,dn_0}", r"\hat{}E d n_0"),
    "star-budget": Expression(r"\frac{1352(d+1)(n_0+1)^3}{\delta\lambda^2\hat E^2}", rf"d n_0 {D} {L} \hat{{}}E"),
    "star-budget-link": Expression(r"\frac{288d^2(d-1)(n_0+1)}{\delta\lambda_L^2}", f"d n_0 {D} {LL}"),
    "outcome": Expression(r"\frac{\tau}{Z}", r"\tau Z"),
    "half-chain": Expression("2^{1-k}", "k"),
    # 7 and 8
    "pstar": Expression(r"\frac{M_*}{1 + M_*}", "M_*"),
    "majority": Expression(r"2^{-d}\binom{d-1}{(d-1)/2}", "d"),
    "hardness": Expression(r"\frac{\Lambda^2}{\varepsilon^2\,2^d}", rf"\Lambda {E} d"),
    "rare": Expression(r"Np_0 + nN\,2^{-(d-1)}", "N p_0 n d"),
    # 10. beyond the paper
    "noise-threshold": Expression(r"\frac{1}{3 - 2\eta}", r"\eta"),
    "noise-chain": Expression(r"2(1-\eta)^{d-1}", r"\eta d"),
    "noise-outcome": Expression(r"1 + (1-2\eta)^{d-1}", r"\eta d"),
    "noise-left": Expression(r"\eta\,\frac{1 - (1-2\eta)^{d-2}}{1 + (1-2\eta)^{d-1}}", r"\eta d"),
    "skip": Expression(r"\tfrac12", ""),
    "three": Expression(r"\max\{\tfrac\mu2, \tfrac{1-3\mu}{2}\}", r"\mu"),
    "three-chain": Expression(r"\max\{\mu, \tfrac{1-3\mu}{2}\}", r"\mu"),
    "weights": Expression(r"\frac{2r_L}{r_S}", "r_L r_S"),
    "process-left": Expression(r"\eta\,\frac{d-2}{d-1}", r"\eta d"),
    "flow-reinforce": Expression(r"\tfrac12p^2(1-p)^2", "p"),
    "flow-grpo": Expression(r"p^2(1-p)\sqrt{\tfrac{1-p}{1+p}}", "p"),
    "flow-star": Expression(r"\tfrac{p^2(1-p)^2}{1+p}", "p"),
    "flow-natural": Expression(r"\tfrac12p(1-p)", "p"),
    "flow-unit": Expression("p(1-p)", "p"),
    "time-reinforce": Expression(r"2\left(2\ln\tfrac{p}{1-p} + \tfrac{2p-1}{p(1-p)}\right)", "p"),
    "time-grpo": Expression(r"2u - \tfrac{2u}{u^2-1} + 2\ln\tfrac{u-1}{u+1}", "u"),
    "time-star": Expression(r"3\ln\tfrac{p}{1-p} + \tfrac{3p-1}{p(1-p)}", "p"),
    "time-natural": Expression(r"2\ln\tfrac{p}{1-p}", "p"),
    "time-unit": Expression(r"\ln\tfrac{p}{1-p}", "p"),
}

# The bounds among them: they hold, and divided by this number they do not (below 1: it is large ones that do harm).
NOTICED: dict[str, float] = {
    "bias-first": 1.05,
    "bias-stop": 1.05,
    "bias-wrong": 1.3,
    "bias-root": 1.3,
    "bias-link": 1.3,
    "rate": 2.1,
    "zeta": 2.5,
    "steps": 1.3,
    "copy-stop": 5,
    "copy-first": 1.7,
    "round-stop": 1.7,
    "round-first": 2,
    "round-wrong": 2.5,
    "ridge": 0.5,
    "ridge-link": 0.5,
    "star-size": 0.8,
    "star-ridge": 0.8,
    "star-ridge-link": 0.8,
    "outcome": 1.1,
    "hardness": 1.1,
    "rare": 1.1,
}

DISPLAYS: dict[str, str] = {
    "first-screen": r"p_{n+1} = «map», \frac{p_n}{1-p_n} = «growth»",
    "first-token": r"p+\tfrac{1-p}{2}=«first-token»",
    "logits": r"a\to«first-logit»,\alpha\to«stop-logit»",
    "bias": r"""
        \left|\sigma(a) - \tfrac{1+p}{2}\right| \le «bias-first»,
        \text{and} \le \omega(2\lambda);
        \left|\sigma(\alpha) - \tfrac{1-p}{1+p}\right| \le «bias-stop»,
        \text{and} \le \omega(\tfrac{3\lambda}{2});
        \tfrac{1-p}{2}\,\sigma(-\beta) \le «bias-wrong»,
        \sigma(-\beta) \le «bias-root»,
        \sigma(-b) \le «bias-link»
    """,
    "rate": r"\mathbb{E}\,F_\lambda(\bar w) - F^* \le «rate»",
    "zeta": r"\zeta = «zeta»",
    "steps": r"T \ge «steps»",
    "ridges": r"\lambda = «ridge», \lambda_L = «ridge-link»",
    "budget": r"\frac1B = «budget», \frac{1}{B_L} = «budget-link»",
    "kept": r"p' = «kept»",
    "doubling": r"\mathrm{odds}(p_{n+1}) = «doubling»",
    "solution": r"p_n = «solution»",
    "rounds": r"«rounds»;",
    "safe-rounds": r"n_0 = «safe-rounds»",
    "abbreviations": r"W(q) = «weight», \gamma(q) = «slope»",
    "copy-stop": r"\|s' - (s - \ln 2)\| \le «copy-stop»",
    "copy-first": r"|\Delta' - \Delta| \le «copy-first»",
    "round-stop": r"\|s' - (s - \ln 2)\| \le «round-stop»",
    "round-first": r"|\Delta' - \Delta| \le «round-first»",
    "round-wrong": "«round-wrong»",
    "star-size": r"\hat E = «star-size»",
    "star-ridge": r"\lambda\ln\tfrac1\lambda \le «star-ridge», \lambda_L\ln\tfrac{1}{\lambda_L} \le «star-ridge-link»",
    "star-budget": r"\frac1B = «star-budget» , \frac{1}{B_L} = «star-budget-link»",
    "outcome": "«outcome»",
    "half-chain": "«half-chain»",
    "pstar": "p^* = «pstar»",
    "majority": "«majority»",
    "hardness": "«hardness»",
    "rare": "«rare»",
    "noise-threshold": "«noise-threshold»",
    "noise-factors": r"«noise-chain» \text{(chain reward)}, «noise-outcome» \text{(end-to-end)}",
    "noise-left": r"\eta' = «noise-left» < \eta",
    "skip": r"p \ge «skip»",
    "three": r"\mathrm{odds}(f) > «three»",
    "three-chain": r"\mathrm{odds}(f) > «three-chain»",
    "weights": r"\Gamma = «weights»",
    "process-left": "«process-left»",
    "flows": r"""
        \text{(REINFORCE)} «flow-reinforce», \text{(GRPO)} «flow-grpo», \text{(STaR, no refit)} «flow-star»,
        \text{(natural gradient)} «flow-natural», \text{(unit steps)} «flow-unit»
    """,
    "flow-times": "«time-reinforce», «time-grpo», «time-star», «time-natural», «time-unit»",
}
