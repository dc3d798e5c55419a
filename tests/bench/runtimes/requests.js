// A cluster as Node.js services make it, each process with one request after the other. Prints each one's microseconds.
// Arguments: seconds, rounds of a request, rule (untuned: every processor; own: what Node.js says) where WEB_CONCURRENCY does not say it.
const cluster = require('node:cluster');
const os = require('node:os');
const [seconds, rounds] = process.argv.slice(2, 4).map(Number);
const rule = process.argv[4] === 'untuned' ? os.cpus().length : os.availableParallelism();
const now = () => Number(process.hrtime.bigint() / 1000n);

if (cluster.isPrimary) {
	const n = Number(process.env.WEB_CONCURRENCY) || rule;
	const begin = now() + 1500000;
	console.error(n);
	for (let i = 0; i < n; i++)
		cluster.fork({ BEGIN: begin }).on('message', (text) => process.stdout.write(text));
} else {
	const begin = Number(process.env.BEGIN), end = begin + seconds * 1e6;
	let lines = '', x = 1, t = now();
	while (t < end) {
		const before = t;
		for (let i = 0; i < rounds; i++) {
			x ^= x << 13;
			x ^= x >>> 17;
			x ^= x << 5;
		}
		t = now();
		if (before >= begin && t < end)
			lines += `${t - before}\n`;
	}
	process.send(lines, () => process.disconnect());
	globalThis.kept = x;
}
