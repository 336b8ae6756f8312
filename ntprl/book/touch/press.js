// Press RL. See press.py: the same functions in the same order.

alive("press", (root, values, part) => {
  const { d, samples, rounds, keys } = values;
  const kept = ({ price, noise, unknown, reward }) => {
    const links = d - 1 - unknown;
    const endToEnd = (1 + (unknown ? 0 : (1 - 2 * noise) ** links)) / 2;
    const right = reward === "r_e2e" ? endToEnd : (1 - noise) ** links * 0.5 ** unknown;
    return [right * (1 - price * d), (1 - price) / 2];
  };
  const factorOf = (s) => kept(s)[0] / kept(s)[1];
  const shareAfter = (s, n) => {
    const grown = factorOf(s) ** n * s.p0;
    return grown / (grown + 1 - s.p0);
  };
  const after = (s, n) => (n ? `After round ${n}` : "Start") + `: ${percent(shareAfter(s, n))} long.`;
  const whatHappens = (factor) => {
    if (Math.abs(factor - 1) < 0.005) return "the odds of long stay";
    return `the odds of long ${factor > 1 ? "grow" : "shrink"}`;
  };
  const oddsInWords = (odds) => (odds >= 1 ? `${decimals(odds, 1)} : 1` : `1 : ${decimals(1 / odds, 1)}`);

  const draw = (s, n, chain) => {
    const [long, short] = kept(s);
    const factor = factorOf(s);
    const upTo = (last, f) => Array.from({ length: last + 1 }, (_, i) => f(i));
    let earned = "";
    [["a long answer", "long", long], ["a short answer", "short", short]].forEach(([name, kind, chance], i) => {
      const y = 8 + 44 * i;
      earned += words(4, y + 10, name, "soft") + bar(4, y + 16, 270, 14, "track");
      earned += bar(4, y + 16, 270 * chance, 14, kind) + words(336, y + 28, decimals(chance), "bold", "end");
    });
    earned += words(4, 142, `× ${decimals(factor)}`, "big") + words(4, 164, whatHappens(factor), "bold");
    earned += words(4, 182, `${decimals(long)} / ${decimals(short)}, every round`, "soft");

    const shares = upTo(n, (i) => shareAfter(s, i));
    const at = (x, y) => [34 + 296 * x, 172 - 164 * y];
    const stepped = (x) => (factor * x) / (factor * x + 1 - x);
    const axes = line([at(0, 1), at(0, 0), at(1, 0)], "axis");
    const ends = words(28, 176, "0", "soft", "end") + words(28, 14, "1", "soft", "end");
    let map = axes + line([at(0, 0), at(1, 1)], "thin") + line([at(1 / 3, 0), at(1 / 3, 1)], "thin");
    map += line(upTo(40, (i) => at(i / 40, stepped(i / 40))), "curve");
    const stairs = [at(shares[0], shares[0])];
    for (let i = 1; i <= n; i++) stairs.push(at(shares[i - 1], shares[i]), at(shares[i], shares[i]));
    map += line(stairs, "step");
    const [cx, cy] = at(shares[n], shares[n]);
    map += mark("circle", "", { cx, cy, r: 6, class: "now" }) + ends;
    map += words(at(1 / 3, 0)[0], 186, "1/3", "soft", "middle") + words(42, 18, "after it", "soft");
    map += words(330, 196, "share of long before a round", "soft", "end");

    const rung = (i, odds) => [50 + 28 * i, 92 - 10 * Math.log2(odds)];
    let ladder = line([[50, 8], [50, 174], [330, 174]], "axis");
    const ticks = [[1 / 256, "1 : 256"], [1 / 16, "1 : 16"], [1, "1 : 1"], [16, "16 : 1"], [256, "256 : 1"]];
    for (const [odds, label] of ticks) ladder += words(44, rung(0, odds)[1] + 4, label, "soft", "end");
    ladder += line([rung(0, 1 / 2), rung(10, 1 / 2)], "thin");
    ladder += words(330, rung(0, 1 / 2)[1] + 13, "greedy long above", "soft", "end");
    const oddsAfter = (i) => (s.p0 / (1 - s.p0)) * factor ** i;
    const inside = upTo(rounds, (i) => i).filter((i) => Math.abs(Math.log2(oddsAfter(i))) <= 8);
    ladder += line(inside.map((i) => rung(i, oddsAfter(i))), "dash");
    const reached = inside.filter((i) => i <= n);
    ladder += line(reached.map((i) => rung(i, oddsAfter(i))), "step");
    for (const i of reached) {
      const [cx, cy] = rung(i, oddsAfter(i));
      ladder += mark("circle", "", { cx, cy, r: i === n ? 6 : 3.5, class: i === n ? "now" : "long" });
    }
    ladder += words(58, 20, `now ${oddsInWords(oddsAfter(n))}`, "bold");
    ladder += words(330, 194, `rounds 0 to ${rounds}`, "soft", "end");

    const dot = (i, share) => [34 + 29.6 * i, 172 - 164 * share];
    let live = axes + line([at(0, 1 / 3), at(1, 1 / 3)], "thin");
    live += line(upTo(rounds, (i) => dot(i, shareAfter(s, i))), "dash");
    chain.forEach((share, i) => {
      const [cx, cy] = dot(i, share);
      live += mark("circle", "", { cx, cy, r: 5.5, class: "chain" });
    });
    live += ends + words(28, at(0, 1 / 3)[1] + 4, "1/3", "soft", "end") + words(42, 18, "P(long)", "soft");
    live += words(330, 194, `rounds 0 to ${rounds}`, "soft", "end");

    const chances = `A long answer is kept with chance ${decimals(long)}, a short one with ${decimals(short)}`;
    show(part("earned"), earned, `${chances}: ${whatHappens(factor)}, times ${decimals(factor)}`);
    show(part("map"), map, `Share of long answers after ${n} rounds: ${percent(shares[n])}`);
    show(part("odds"), ladder, `Odds of long after ${n} rounds: ${oddsInWords(oddsAfter(n))}`);
    const listed = chain.map((share) => decimals(share)).join(", ") || "not yet trained";
    show(part("chain"), live, `P(long) of the chain, round by round: ${listed}`);
  };

  // the chain follows: what is trained is kept, and work is cut into slices so that the page stays awake
  let [settings, pressed, trained, task] = [null, 0, [], 0];
  const starts = new Map();  // p_0 -> the pre-trained chain
  const status = () => {
    if (trained.length <= pressed) return trained.length ? "The chain learns …" : "The chain is pre-trained …";
    const { long, greedyLong, greedyRight } = trained[trained.length - 1].measures;
    const what = pressed ? `After ${pressed} round${pressed > 1 ? "s" : ""}` : "After pre-training";
    const map = decimals(shareAfter(settings, pressed), 3);
    const greedy = `Greedy answers: ${percent(greedyLong)} long, ${percent(greedyRight)} right.`;
    return `${what} P(long) is ${decimals(long, 3)}, by the map ${map}. ${greedy}`;
  };
  const redraw = () => {
    draw(settings, pressed, trained.map((each) => each.measures.long));
    const third = "Greedy answers are long from odds of 1 : 2 on, a third.";
    say(part("rung"), `A round multiplies the odds by ${decimals(factorOf(settings))}. ${third}`);
    say(part("after"), after(settings, pressed));
    say(part("status"), status());
    part("round").setAttribute("aria-disabled", String(pressed === rounds));
  };
  const finish = (each) => {
    each.measures = linearChain.measure(each.model, d, settings);
    trained.push(each);
    redraw();
    follow();
  };
  const follow = () => {
    clearTimeout(task);
    task = 0;
    const round = trained.length;
    if (round > pressed) return;
    const { p0, ...rule } = settings;
    if (!round && starts.has(p0)) return finish({ ...starts.get(p0) });
    const before = round ? trained[round - 1] : { long: p0 * samples };
    const job = linearChain.training({
      key: keys[round], d, n: samples, p: p0, model: round ? before.model : null, rule, longBefore: before.long,
    });
    const slice = () => {
      const stop = performance.now() + 10;
      while (!job.advance(100)) {
        if (performance.now() > stop) {
          task = setTimeout(slice, 0);
          return;
        }
      }
      const found = job.result();
      if (!round) starts.set(p0, found);
      finish({ ...found });
    };
    task = setTimeout(slice, 0);
  };

  const reset = () => {
    const of = (name) => Number(part(name).value);
    const [price, noise] = [of("price") / 1000, of("noise") / 100];
    settings = { p0: of("p_0") / 100, price, noise, unknown: of("unknown"), reward: part("reward").value };
    slide(part, "p_0", percent(settings.p0));
    slide(part, "price", price ? decimals(price, 3) : "0");
    slide(part, "noise", percent(noise));
    [pressed, trained] = [0, []];
    redraw();
    if (isSeen) follow();
  };
  let isSeen = typeof IntersectionObserver === "undefined";
  for (const name of ["p_0", "price", "noise", "unknown", "reward"]) part(name).addEventListener("input", reset);
  part("reset").addEventListener("click", reset);
  part("round").addEventListener("click", () => {
    if (pressed === rounds) return;
    [pressed, isSeen] = [pressed + 1, true];
    redraw();
    follow();
  });
  root.touch = { kept, linearChain, trained: () => trained };
  reset();
  if (!isSeen) {
    const observer = new IntersectionObserver((entries) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      observer.disconnect();
      if (isSeen) return;
      isSeen = true;
      follow();
    });
    observer.observe(part("chain"));
  }
});
