import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;

/** What every JDK's client does unless it is told otherwise: it offers HTTP/2 over plain HTTP with its first requests. */
public class Upgrades {
    static final String REPORT = "{\"abuse_type\":\"MSG\",\"report_text_len\":120,\"profile_rating\":4.2,"
            + "\"popularity\":3,\"lifetime_matches_created\":57}";

    static HttpRequest.Builder to(String url) {
        return HttpRequest.newBuilder(URI.create(url)).timeout(Duration.ofSeconds(60)).header("Content-Type", "application/json");
    }

    static void say(String what, HttpResponse<String> answer) {
        System.out.println(what + " " + answer.statusCode() + " " + answer.version());
    }

    public static void main(String[] arguments) throws Exception {
        String url = arguments[0];
        HttpClient client = HttpClient.newHttpClient();
        say("get", client.send(to(url + "/heartbeat").GET().build(), BodyHandlers.ofString()));
        say("post", client.send(to(url + "/predict").POST(BodyPublishers.ofString(REPORT)).build(), BodyHandlers.ofString()));
        byte[] batch = ("[" + String.join(",", java.util.Collections.nCopies(1000, REPORT)) + "]").getBytes();
        HttpRequest.BodyPublisher chunked = BodyPublishers.ofInputStream(() -> new java.io.ByteArrayInputStream(batch));
        say("chunked", client.send(to(url + "/submit").POST(chunked).build(), BodyHandlers.ofString()));
        say("expect", client.send(to(url + "/submit").expectContinue(true).POST(BodyPublishers.ofByteArray(batch)).build(),
                BodyHandlers.ofString()));
        say("refused", client.send(to(url + "/submit").POST(BodyPublishers.ofString("[]")).build(), BodyHandlers.ofString()));
        HttpClient another = HttpClient.newHttpClient();
        List<CompletableFuture<HttpResponse<String>>> sent = new ArrayList<>();
        for (int i = 0; i < 50; i++) {
            sent.add(another.sendAsync(to(url + "/submit").POST(BodyPublishers.ofByteArray(batch)).build(), BodyHandlers.ofString()));
        }
        for (CompletableFuture<HttpResponse<String>> one : sent) {
            say("at once", one.join());
        }
        HttpClient plain = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
        say("http/1.1", plain.send(to(url + "/predict").POST(BodyPublishers.ofString(REPORT)).build(), BodyHandlers.ofString()));
    }
}
