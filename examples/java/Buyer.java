import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.time.Duration;
import java.util.UUID;
import java.util.concurrent.ThreadLocalRandom;
import java.util.regex.Pattern;

/**
 * Buys one unit over HTTP, repeats the call until its outcome is known, and pays.
 *
 * <pre>java Buyer.java http://127.0.0.1:8080 ITEM TOKEN</pre>
 *
 * Java 17 or later and nothing else. TOKEN is a buyer's, from {@code seckill mint} or from a log-in.
 */
public final class Buyer {
    private static final int ATTEMPTS_MAX = 8;
    private static final Duration TIMEOUT = Duration.ofSeconds(5);

    private final HttpClient client = HttpClient.newBuilder().connectTimeout(TIMEOUT).build();
    private final String base;
    private final String token;

    private Buyer(String base, String token) {
        this.base = base + "/api/v1";
        this.token = token;
    }

    public static void main(String[] arguments) throws InterruptedException {
        if (arguments.length != 3) {
            System.err.println("usage: java Buyer.java http://HOST:PORT ITEM TOKEN");
            System.exit(2);
        }
        var buyer = new Buyer(arguments[0], arguments[2]);
        var bought = buyer.post("/items/" + arguments[1] + "/buy", "{\"quantity\":1}");
        var order = field(bought.body(), "order_id");
        var replayed = bought.headers().firstValue("Idempotent-Replayed").isPresent();
        System.out.printf("order %s: %s, replayed: %s%n", order, field(bought.body(), "status"), replayed);
        var paid = buyer.post("/orders/" + order + "/pay", "{}");
        System.out.printf("order %s: %s%n", order, field(paid.body(), "status"));
    }

    /** Sends one request until it is answered. Its key makes every repetition the same request. */
    private HttpResponse<String> post(String path, String body) throws InterruptedException {
        var request = HttpRequest.newBuilder(URI.create(base + path))
                .timeout(TIMEOUT)
                .header("Authorization", "Bearer " + token)
                .header("Content-Type", "application/json")
                .header("Idempotency-Key", UUID.randomUUID().toString())
                .POST(BodyPublishers.ofString(body))
                .build();
        for (int attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
            long pause = 200L << attempt;
            try {
                var answer = client.send(request, BodyHandlers.ofString());
                if (answer.statusCode() < 300) {
                    return answer;
                }
                var code = field(answer.body(), "code");
                // 429 and 503 say when to come back; any other refusal is final.
                if (answer.statusCode() != 429 && answer.statusCode() != 503) {
                    System.err.println("refused: " + code);
                    System.exit(1);
                }
                pause = answer.headers().firstValueAsLong("Retry-After").orElse(1) * 1000;
                System.err.println("again: " + code);
            } catch (IOException lost) {
                // It may have been done: the key finds out.
                System.err.println("again: no answer");
            }
            Thread.sleep(pause + ThreadLocalRandom.current().nextLong(200));
        }
        System.err.println("the outcome is not known: look at the buyer's orders");
        System.exit(1);
        throw new AssertionError();
    }

    /** The text of a field of a flat JSON object: enough for this example, a JSON library for anything more. */
    private static String field(String json, String name) {
        var matcher = Pattern.compile('"' + name + "\"\\s*:\\s*\"([^\"\\\\]*)\"").matcher(json);
        return matcher.find() ? matcher.group(1) : "unknown";
    }
}
