import java.util.concurrent.CountDownLatch;

/** As many threads as Java says there are processors, each with one request after the other: arithmetic and some garbage. Prints each one's microseconds.
 * Arguments: seconds, rounds of a request. */
public class Requests {
	private static final double WARM_UP_S = 1.0;
	private static volatile long kept;

	private static long request(int rounds) {
		long x = 88172645463325252L;
		for (int i = 0; i < rounds; i++) {
			x ^= x << 13;
			x ^= x >>> 7;
			x ^= x << 17;
			if ((i & 8191) == 0)
				x += new byte[512].length;
		}
		return x;
	}

	public static void main(String[] args) throws Exception {
		double seconds = Double.parseDouble(args[0]);
		int rounds = Integer.parseInt(args[1]), n = Runtime.getRuntime().availableProcessors();
		long begin = System.nanoTime() + (long) (WARM_UP_S * 1e9), end = begin + (long) (seconds * 1e9);
		StringBuilder[] lines = new StringBuilder[n];
		CountDownLatch done = new CountDownLatch(n);
		for (int i = 0; i < n; i++) {
			StringBuilder out = lines[i] = new StringBuilder();
			new Thread(() -> {
				long now = System.nanoTime();
				while (now < end) {
					long before = now;
					kept = request(rounds);
					now = System.nanoTime();
					if (before >= begin && now < end)
						out.append((now - before) / 1000).append('\n');
				}
				done.countDown();
			}).start();
		}
		done.await();
		System.err.println(n);
		for (StringBuilder out : lines)
			System.out.print(out);
	}
}
