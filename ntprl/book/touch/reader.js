// Be the calibrated reader. See reader.py: the same functions in the same order.

const readers = {
  firstToken: (p, k) => p + (1 - p) / k,
  stop: (p, k) => (1 - p) / k / (p + (1 - p) / k),
  accuracy: (p, k) => p + (1 - p) / k,
  flip: (k) => 1 / (1 + k),
};

alive("reader", (root, values, part) => {
  const { firstToken, stop, accuracy, flip } = readers;
  const parting = ({ modulus, marked }) => (marked ? 1 : modulus);
  const goesOn = (s) => s.p > flip(parting(s));
  const likeliestAccuracy = (s) => (goesOn(s) ? 1 : 1 / s.modulus);
  const runningSums = ({ x, modulus }) => {
    let sum = 0;
    return x.map((symbol) => (sum = (sum + symbol) % modulus));
  };

  const firstRows = (s) => {
    if (s.marked) return [[s.x[0], "long", s.p, 0, goesOn(s)], ["#", "short", 0, 1 - s.p, !goesOn(s)]];
    const short = firstToken(s.p, s.modulus) - s.p;
    return Array.from({ length: s.modulus }, (_, k) => [k, "given", k === s.x[0] ? s.p : 0, short, k === s.x[0]]);
  };
  const secondRows = (s) => {
    if (s.marked && !goesOn(s))
      return Array.from({ length: s.modulus }, (_, k) => [k, "given", 0, 1 / s.modulus, k === 0]);
    const end = s.marked ? 0 : stop(s.p, s.modulus);
    return [["stop", "", 0, end, !goesOn(s)], ["go on", "", 1 - end, 0, goesOn(s)]];
  };
  const likeliest = (s) => {
    if (goesOn(s)) return [...runningSums(s).map(String), "."];
    return s.marked ? ["#", "0", "."] : [String(s.x[0]), "."];
  };

  const rowsDrawn = (rows, note) => {
    const pitch = Math.min(34, 120 / rows.length);
    const drawn = rows
      .map(([name, kind, long, short, isPicked], i) => {
        const y = 4 + i * pitch + (pitch - 22) / 2;
        return (
          (isPicked ? words(4, y + 15.5, "▸") : "") +
          (kind ? token(22, y, name, kind) : words(18, y + 15.5, name, isPicked ? "bold" : "")) +
          bar(66, y + 3, 200, 16, "track") +
          bar(66, y + 3, 200 * long, 16, "long") +
          bar(66 + 200 * long, y + 3, 200 * short, 16, "short") +
          words(336, y + 15.5, percent(long + short), isPicked ? "bold" : "", "end")
        );
      })
      .join("");
    return drawn + words(4, 145, note, "soft");
  };

  const draw = (s, written) => {
    const { p, modulus, marked, x } = s;
    const sums = runningSums(s);
    const total = sums[sums.length - 1];
    const examples = [
      ["prompt", "given", [...x, "|"]],
      ["long", "long", [...sums, "."]],
      ["short", "short", [...(marked ? ["#"] : []), total, "."]],
    ];
    let seen = "";
    examples.forEach(([name, kind, symbols], row) => {
      seen += words(4, 22 + 34 * row, name, row ? "bold" : "soft");
      symbols.forEach((symbol, i) => (seen += token(58 + 28 * i, 6 + 34 * row, symbol, kind)));
      if (row) seen += words(336, 22 + 34 * row, percent(row === 1 ? p : 1 - p), "bold", "end");
    });
    seen += bar(4, 122, 332 * p, 16, "long") + bar(4 + 332 * p, 122, 332 * (1 - p), 16, "short");

    const [first, second, answer] = [firstRows(s), secondRows(s), likeliest(s)];
    const shown = answer.slice(0, written);
    let said = shown.map((symbol, i) => token(4 + 28 * i, 6, symbol, goesOn(s) ? "long" : "short")).join("");
    if (shown.length === answer.length) {
      const isRight = answer[answer.length - 2] === String(total);
      said += words(4 + 28 * answer.length + 8, 22, isRight ? "✓ right" : `✗ wrong: it is ${total}`, "bold");
    }
    said += words(4, 58, "right, over all prompts:", "soft");
    const rates = { greedy: likeliestAccuracy(s), sampled: accuracy(p, modulus) };
    Object.entries(rates).forEach(([name, rate], i) => {
      const y = 68 + 28 * i;
      said += words(4, y + 14, name) + bar(66, y + 2, 200, 16, "track") + bar(66, y + 2, 200 * rate, 16, "right");
      said += words(336, y + 14, percent(rate), "bold", "end");
    });
    const chance = 66 + 200 / modulus;
    said += line([[chance, 66], [chance, 124]], "thin") + words(chance, 138, "a guess", "soft", "middle");

    const inWords = { 2: "two", 3: "three", 5: "five" }[modulus];
    let firstNote = `All long ones begin with ${x[0]}, and one in ${inWords} short ones.`;
    let secondNote = `Of all examples that begin with ${x[0]}, so many stop here.`;
    if (marked) {
      firstNote = `Long ones begin with ${x[0]}, short ones with the mark.`;
      secondNote = `Only long ones begin with ${x[0]}: none stops here.`;
      if (!goesOn(s)) secondNote = "The reader cannot add up in one go: all are alike.";
    }
    const listed = (rows) => rows.map(([name, , long, short]) => `${name} ${percent(long + short)}`).join(", ");
    show(part("seen"), seen, `Long answers ${percent(p)}, short answers ${percent(1 - p)}`);
    show(part("first"), rowsDrawn(first, firstNote), `Probability of each first token: ${listed(first)}`);
    show(part("second"), rowsDrawn(second, secondNote), `Probability of what comes next: ${listed(second)}`);
    const right = `right: greedy ${percent(rates.greedy)}, sampled ${percent(rates.sampled)}`;
    show(part("said"), said, `Likeliest answer ${answer.join(" ")}; ${right}`);

    const star = values.flips[parting(s)];
    say(part("second-head"), marked && !goesOn(s) ? "3. After the mark: a guess" : `3. After the ${x[0]}: stop or go on?`);
    let verdict = `Below ${star} it ${marked ? "takes the mark" : `stops after the ${x[0]}`}, which is a guess.`;
    if (goesOn(s)) verdict = `Above ${star} it writes the whole chain, and is always right.`;
    if (Math.abs(p - flip(parting(s))) < 1e-9) verdict = `Exactly ${star}: a tie between long and short.`;
    say(part("verdict"), verdict);
    say(part("flip"), `▲ flips at ${star}`);
    part("flip").style.setProperty("--at", ((100 * flip(parting(s)) - 1) / (values.highest - 1)).toFixed(4));
    slide(part, "p", `${Math.floor(100 * p + 0.5)} %`);
  };

  let index = 0;
  let before = "";
  let timer = 0;
  const update = () => {
    const modulus = Number(part("modulus").value);
    const marked = part("marked").value === "marked";
    const listed = values.prompts[modulus];
    const state = { p: part("p").value / 100, modulus, marked, x: listed[index % listed.length] };
    const answer = likeliest(state).join(" ");
    const isNew = before !== "" && before !== `${state.x} ${answer}`;
    before = `${state.x} ${answer}`;
    if (!isNew && timer) return;  // an answer is being written: its next token draws the new share
    clearInterval(timer);
    timer = 0;
    if (!isNew || calm()) return draw(state);
    let written = 0;
    draw(state, written);
    timer = setInterval(() => {
      written += 1;
      state.p = part("p").value / 100;
      draw(state, written);
      if (written < likeliest(state).length) return;
      clearInterval(timer);
      timer = 0;
    }, 220);
  };
  for (const name of ["p", "modulus", "marked"]) part(name).addEventListener("input", update);
  part("prompt").addEventListener("click", () => {
    index += 1;
    update();
  });
  root.touch = { ...readers };
  update();
});
