import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.CountDownLatch;

/** Starts a thread "worker" for each processor that Java says there is, writes the number to the file named by its argument, and stays. */
public class Workers {
	public static void main(String[] args) throws Exception {
		int n = Runtime.getRuntime().availableProcessors();
		CountDownLatch started = new CountDownLatch(n);
		for (int i = 0; i < n; i++) {
			new Thread(() -> {
				started.countDown();
				try {
					Thread.sleep(Long.MAX_VALUE);
				} catch (InterruptedException e) {
					return;
				}
			}, "worker").start();
		}
		started.await();
		System.gc();
		Files.writeString(Path.of(args[0]), n + "\n");
	}
}
