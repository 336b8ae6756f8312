// A film of answers. See film.py: the same functions in the same order.

alive("film", (root, values, part) => {
  const { longest, frames } = values;
  const ways = { greedy: "Greedy answers", sampled: "Sampled answers" };
  const inWords = (answers) => {
    const sorted = answers.map(([length]) => length).sort((a, b) => a - b);
    const median = (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2;
    const right = answers.filter(([, isRight]) => isRight).length;
    return `${right} of ${answers.length} right, median length ${median}`;
  };
  const draw = (index) => {
    const frame = frames[index];
    const unit = (340 - 24) / (longest + 1);
    const dashes = `${(unit * 0.75).toFixed(3)} ${(unit * 0.25).toFixed(3)}`;
    for (const [way, title] of Object.entries(ways)) {
      const end = 20 + unit * longest;
      let drawn = line([[end, 0], [end, 8 + 10 * frame[way].length]], "thin");
      frame[way].forEach(([length, isRight], row) => {
        const y = 8 + 10 * row;
        const kind = isRight ? "yes" : "no";
        drawn += words(8, y + 4.5, isRight ? "✓" : "✗", kind, "middle");
        const path = `M20 ${y}H${(20 + unit * length).toFixed(2)}`;
        drawn += mark("path", "", { d: path, class: kind, "stroke-dasharray": dashes });
      });
      const heading = `${title}: ${inWords(frame[way])}`;
      show(part(way), drawn, heading);
      say(part(`${way}-head`), heading);
    }
    slide(part, "frame", String(frame.round));
  };

  const last = frames.length - 1;
  let timer = 0;
  const at = () => Number(part("frame").value);
  const go = (index) => {
    part("frame").value = index;
    draw(index);
  };
  const pause = () => {
    clearInterval(timer);
    timer = 0;
    say(part("play"), "Play");
  };
  const play = () => {
    if (timer) return pause();
    go(at() === last ? 0 : at());
    say(part("play"), "Pause");
    timer = setInterval(() => {
      go(Math.min(at() + 1, last));
      if (at() === last) pause();
    }, calm() ? 1500 : 600);
  };
  part("play").addEventListener("click", play);
  part("back").addEventListener("click", () => {
    pause();
    go(0);
  });
  part("frame").addEventListener("input", () => {
    pause();
    draw(at());
  });
  draw(at());
});
