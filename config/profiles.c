/* The profiles that come with the program, as files would have them. */
#include "config/profiles.h"

const struct nsp_profile_text nsp_profiles[] = {
    { "dial", "description: \"56k modem\"\n"
              "source: \"WebPageTest, connectivity profiles\"\n"
              "rtt: 120ms\n"
              "down: { rate: 49kbit }\n"
              "up: { rate: 30kbit }\n" },
    { "2g", "description: \"2G\"\n"
            "source: \"WebPageTest, connectivity profiles\"\n"
            "rtt: 800ms\n"
            "down: { rate: 280kbit }\n"
            "up: { rate: 256kbit }\n" },
    { "edge", "description: \"EDGE\"\n"
              "source: \"WebPageTest, connectivity profiles\"\n"
              "rtt: 840ms\n"
              "down: { rate: 240kbit }\n"
              "up: { rate: 200kbit }\n" },
    { "3g-slow", "description: \"Slow 3G\"\n"
                 "source: \"WebPageTest, connectivity profiles\"\n"
                 "rtt: 400ms\n"
                 "rate: 400kbit\n" },
    { "3g-em", "description: \"3G of an emerging market\"\n"
               "source: \"WebPageTest, connectivity profiles\"\n"
               "rtt: 400ms\n"
               "rate: 400kbit\n" },
    { "3g", "description: \"3G\"\n"
            "source: \"WebPageTest, connectivity profiles\"\n"
            "rtt: 300ms\n"
            "down: { rate: 1600kbit }\n"
            "up: { rate: 768kbit }\n" },
    { "3g-fast", "description: \"Fast 3G\"\n"
                 "source: \"WebPageTest, connectivity profiles\"\n"
                 "rtt: 150ms\n"
                 "down: { rate: 1600kbit }\n"
                 "up: { rate: 768kbit }\n" },
    { "dsl", "description: \"DSL\"\n"
             "source: \"WebPageTest, connectivity profiles\"\n"
             "rtt: 50ms\n"
             "down: { rate: 1500kbit }\n"
             "up: { rate: 384kbit }\n" },
    { "cable", "description: \"Cable\"\n"
               "source: \"WebPageTest, connectivity profiles\"\n"
               "rtt: 28ms\n"
               "down: { rate: 5mbit }\n"
               "up: { rate: 1mbit }\n" },
    { "fios", "description: \"Fibre\"\n"
              "source: \"WebPageTest, connectivity profiles\"\n"
              "rtt: 4ms\n"
              "down: { rate: 20mbit }\n"
              "up: { rate: 5mbit }\n" },
    { "4g", "description: \"4G\"\n"
            "source: \"WebPageTest, connectivity profiles\"\n"
            "rtt: 170ms\n"
            "rate: 9mbit\n" },
    { "lte", "description: \"LTE\"\n"
             "source: \"WebPageTest, connectivity profiles\"\n"
             "rtt: 70ms\n"
             "rate: 12mbit\n" },
    { "devtools-slow-3g",
      "description: \"Slow 3G of Chrome\"\n"
      "source: \"Chrome DevTools, network conditions as Puppeteer has them\"\n"
      "note: \"DevTools delays requests, not packets: the round trip is its "
      "latency of 400 ms times 5\"\n"
      "rtt: 2s\n"
      "rate: 400kbit\n" },
    { "devtools-fast-3g",
      "description: \"Fast 3G of Chrome\"\n"
      "source: \"Chrome DevTools, network conditions as Puppeteer has them\"\n"
      "note: \"DevTools delays requests, not packets: the round trip is its "
      "latency of 150 ms times 3.75\"\n"
      "rtt: 562.5ms\n"
      "down: { rate: 1440kbit }\n"
      "up: { rate: 675kbit }\n" },
    { "devtools-slow-4g",
      "description: \"Slow 4G of Chrome: fast 3G under its new name\"\n"
      "source: \"Chrome DevTools, network conditions as Puppeteer has them\"\n"
      "note: \"DevTools delays requests, not packets: the round trip is its "
      "latency of 150 ms times 3.75\"\n"
      "rtt: 562.5ms\n"
      "down: { rate: 1440kbit }\n"
      "up: { rate: 675kbit }\n" },
    { "devtools-fast-4g",
      "description: \"Fast 4G of Chrome\"\n"
      "source: \"Chrome DevTools, by a copy of others\"\n"
      "note: \"DevTools delays requests, not packets: the round trip is its "
      "latency of 60 ms times 2.75; from a copy by others\"\n"
      "verified: false\n"
      "rtt: 165ms\n"
      "down: { rate: 8100kbit }\n"
      "up: { rate: 1350kbit }\n" },
    { "android-gsm",
      "description: \"GSM\"\n"
      "source: \"Android Emulator, its help on -netspeed and -netdelay\"\n"
      "note: \"the source does not say of which direction its latencies are: "
      "taken as round trips: 150 to 550 ms\"\n"
      "rate: 14400bit\n"
      "delay: 175ms\n"
      "jitter: 100ms\n" },
    { "android-hscsd",
      "description: \"HSCSD\"\n"
      "source: \"Android Emulator, its help on -netspeed and -netdelay\"\n"
      "note: \"the source does not say of which direction its latencies are: "
      "taken as round trips: 80 to 400 ms\"\n"
      "delay: 120ms\n"
      "jitter: 80ms\n"
      "down: { rate: 57600bit }\n"
      "up: { rate: 14400bit }\n" },
    { "android-gprs",
      "description: \"GPRS\"\n"
      "source: \"Android Emulator, its help on -netspeed and -netdelay\"\n"
      "note: \"the source does not say of which direction its latencies are: "
      "taken as round trips: 35 to 200 ms\"\n"
      "delay: 58.75ms\n"
      "jitter: 41.25ms\n"
      "down: { rate: 57600bit }\n"
      "up: { rate: 28800bit }\n" },
    { "android-umts",
      "description: \"UMTS\"\n"
      "source: \"Android Emulator, its help on -netspeed and -netdelay\"\n"
      "note: \"the source does not say of which direction its latencies are: "
      "taken as round trips: 35 to 200 ms\"\n"
      "rate: 384kbit\n"
      "delay: 58.75ms\n"
      "jitter: 41.25ms\n" },
    { "android-edge",
      "description: \"EDGE\"\n"
      "source: \"Android Emulator, its help on -netspeed and -netdelay\"\n"
      "note: \"the source does not say of which direction its latencies are: "
      "taken as round trips: 80 to 400 ms\"\n"
      "rate: 473600bit\n"
      "delay: 120ms\n"
      "jitter: 80ms\n" },
    { "android-hsdpa",
      "description: \"HSDPA\"\n"
      "source: \"Android Emulator, its help on -netspeed and -netdelay\"\n"
      "note: \"the source has no latency\"\n"
      "down: { rate: 13980kbit }\n"
      "up: { rate: 5760kbit }\n" },
    { "android-lte",
      "description: \"LTE\"\n"
      "source: \"Android Emulator, its help on -netspeed and -netdelay\"\n"
      "note: \"the source has no latency\"\n"
      "down: { rate: 173mbit }\n"
      "up: { rate: 58mbit }\n" },
    { "android-evdo",
      "description: \"EV-DO\"\n"
      "source: \"Android Emulator, its help on -netspeed and -netdelay\"\n"
      "note: \"the source has no latency\"\n"
      "down: { rate: 280mbit }\n"
      "up: { rate: 75mbit }\n" },
    { "comcast-gprs", "description: \"GPRS\"\n"
                      "source: \"comcast, suggested network conditions\"\n"
                      "note: \"the tool delays what is sent and not what comes "
                      "back: its latency is taken as a round trip, rate and "
                      "loss as those of each direction\"\n"
                      "rtt: 500ms\n"
                      "rate: 50kbit\n"
                      "loss: 2%\n" },
    { "comcast-edge", "description: \"EDGE\"\n"
                      "source: \"comcast, suggested network conditions\"\n"
                      "note: \"the tool delays what is sent and not what comes "
                      "back: its latency is taken as a round trip, rate and "
                      "loss as those of each direction\"\n"
                      "rtt: 300ms\n"
                      "rate: 250kbit\n"
                      "loss: 1.5%\n" },
    { "comcast-3g", "description: \"3G\"\n"
                    "source: \"comcast, suggested network conditions\"\n"
                    "note: \"the tool delays what is sent and not what comes "
                    "back: its latency is taken as a round trip, rate and loss "
                    "as those of each direction\"\n"
                    "rtt: 250ms\n"
                    "rate: 750kbit\n"
                    "loss: 1.5%\n" },
    { "comcast-dial", "description: \"Dial-up\"\n"
                      "source: \"comcast, suggested network conditions\"\n"
                      "note: \"the tool delays what is sent and not what comes "
                      "back: its latency is taken as a round trip, rate and "
                      "loss as those of each direction\"\n"
                      "rtt: 185ms\n"
                      "rate: 40kbit\n"
                      "loss: 2%\n" },
    { "comcast-dsl-poor", "description: \"Poor DSL\"\n"
                          "source: \"comcast, suggested network conditions\"\n"
                          "note: \"the tool delays what is sent and not what "
                          "comes back: its latency is taken as a round trip, "
                          "rate and loss as those of each direction\"\n"
                          "rtt: 70ms\n"
                          "rate: 2mbit\n"
                          "loss: 2%\n" },
    { "comcast-dsl", "description: \"DSL\"\n"
                     "source: \"comcast, suggested network conditions\"\n"
                     "note: \"the tool delays what is sent and not what comes "
                     "back: its latency is taken as a round trip, rate and "
                     "loss as those of each direction\"\n"
                     "rtt: 40ms\n"
                     "rate: 8mbit\n"
                     "loss: 0.5%\n" },
    { "comcast-wifi", "description: \"Wi-Fi\"\n"
                      "source: \"comcast, suggested network conditions\"\n"
                      "note: \"the tool delays what is sent and not what comes "
                      "back: its latency is taken as a round trip, rate and "
                      "loss as those of each direction\"\n"
                      "rtt: 40ms\n"
                      "rate: 30mbit\n"
                      "loss: 0.2%\n" },
    { "comcast-starlink", "description: \"Starlink\"\n"
                          "source: \"comcast, suggested network conditions\"\n"
                          "note: \"the tool delays what is sent and not what "
                          "comes back: its latency is taken as a round trip, "
                          "rate and loss as those of each direction\"\n"
                          "rtt: 20ms\n"
                          "loss: 2.5%\n" },
    { "loadero-4g", "description: \"4G\"\n"
                    "source: \"Loadero, network conditions of participants\"\n"
                    "note: \"latency and jitter are those of each direction\"\n"
                    "delay: 45ms\n"
                    "loss: 0.2%\n"
                    "down: { rate: 100mbit, jitter: 5ms }\n"
                    "up: { rate: 50mbit, jitter: 15ms }\n" },
    { "loadero-hspa",
      "description: \"3.5G\"\n"
      "source: \"Loadero, network conditions of participants\"\n"
      "note: \"latency and jitter are those of each direction\"\n"
      "delay: 150ms\n"
      "jitter: 10ms\n"
      "loss: 0.5%\n"
      "down: { rate: 20mbit }\n"
      "up: { rate: 10mbit }\n" },
    { "loadero-3g", "description: \"3G\"\n"
                    "source: \"Loadero, network conditions of participants\"\n"
                    "note: \"latency and jitter are those of each direction\"\n"
                    "rate: 1200kbit\n"
                    "delay: 250ms\n"
                    "jitter: 50ms\n"
                    "loss: 0.5%\n" },
    { "loadero-gprs",
      "description: \"GPRS\"\n"
      "source: \"Loadero, network conditions of participants\"\n"
      "note: \"latency and jitter are those of each direction\"\n"
      "delay: 650ms\n"
      "jitter: 100ms\n"
      "loss: 1%\n"
      "down: { rate: 80kbit }\n"
      "up: { rate: 20kbit }\n" },
    { "loadero-edge",
      "description: \"EDGE\"\n"
      "source: \"Loadero, network conditions of participants\"\n"
      "note: \"latency and jitter are those of each direction\"\n"
      "delay: 650ms\n"
      "jitter: 100ms\n"
      "loss: 1%\n"
      "down: { rate: 200kbit }\n"
      "up: { rate: 260kbit }\n" },
    { "loadero-asymmetric",
      "description: \"More up than down\"\n"
      "source: \"Loadero, network conditions of participants\"\n"
      "note: \"latency and jitter are those of each direction\"\n"
      "delay: 50ms\n"
      "jitter: 10ms\n"
      "down: { rate: 500kbit }\n"
      "up: { rate: 1mbit }\n" },
    { "loadero-satellite",
      "description: \"Satellite phone\"\n"
      "source: \"Loadero, network conditions of participants\"\n"
      "note: \"latency and jitter are those of each direction\"\n"
      "delay: 600ms\n"
      "down: { rate: 1mbit }\n"
      "up: { rate: 256kbit }\n" },
    { "loadero-high-latency",
      "description: \"High latency\"\n"
      "source: \"Loadero, network conditions of participants\"\n"
      "note: \"latency and jitter are those of each direction\"\n"
      "delay: 500ms\n"
      "jitter: 50ms\n" },
    { "loadero-high-jitter",
      "description: \"High jitter\"\n"
      "source: \"Loadero, network conditions of participants\"\n"
      "note: \"latency and jitter are those of each direction\"\n"
      "delay: 200ms\n"
      "jitter: 100ms\n" },
    { "nlc-3g", "description: \"3G\"\n"
                "source: \"Apple Network Link Conditioner, presets\"\n"
                "note: \"one-way delays; not checked against the tool\"\n"
                "verified: false\n"
                "delay: 100ms\n"
                "down: { rate: 780kbit }\n"
                "up: { rate: 330kbit }\n" },
    { "nlc-edge", "description: \"EDGE\"\n"
                  "source: \"Apple Network Link Conditioner, presets\"\n"
                  "note: \"one-way delays; not checked against the tool\"\n"
                  "verified: false\n"
                  "down: { rate: 240kbit, delay: 400ms }\n"
                  "up: { rate: 200kbit, delay: 440ms }\n" },
    { "nlc-dsl", "description: \"DSL\"\n"
                 "source: \"Apple Network Link Conditioner, presets\"\n"
                 "note: \"one-way delays; not checked against the tool\"\n"
                 "verified: false\n"
                 "delay: 5ms\n"
                 "down: { rate: 2mbit }\n"
                 "up: { rate: 256kbit }\n" },
    { "nlc-very-bad", "description: \"Very bad network\"\n"
                      "source: \"Apple Network Link Conditioner, presets\"\n"
                      "note: \"one-way delays; not checked against the tool\"\n"
                      "verified: false\n"
                      "rate: 1mbit\n"
                      "delay: 500ms\n"
                      "loss: 10%\n" },
    { "nlc-high-latency-dns",
      "description: \"High-latency DNS\"\n"
      "source: \"Apple Network Link Conditioner, presets\"\n"
      "note: \"one-way delays; not checked against the tool; the delay is for "
      "DNS only: match port 53\"\n"
      "verified: false\n"
      "delay: 3s\n" },
    { "nlc-100-loss", "description: \"100 % loss\"\n"
                      "source: \"Apple Network Link Conditioner, presets\"\n"
                      "note: \"one-way delays; not checked against the tool\"\n"
                      "verified: false\n"
                      "loss: 100%\n" },
    { "nlc-lte", "description: \"LTE\"\n"
                 "source: \"Apple Network Link Conditioner, presets\"\n"
                 "note: \"one-way delays; not checked against the tool\"\n"
                 "verified: false\n"
                 "down: { rate: 50mbit, delay: 50ms }\n"
                 "up: { rate: 10mbit, delay: 65ms }\n" },
    { "nlc-wifi", "description: \"Wi-Fi\"\n"
                  "source: \"Apple Network Link Conditioner, presets\"\n"
                  "note: \"one-way delays; not checked against the tool\"\n"
                  "verified: false\n"
                  "delay: 1ms\n"
                  "down: { rate: 40mbit }\n"
                  "up: { rate: 33mbit }\n" },
    { "nlc-wifi-ac", "description: \"Wi-Fi 802.11ac\"\n"
                     "source: \"Apple Network Link Conditioner, presets\"\n"
                     "note: \"one-way delays; not checked against the tool\"\n"
                     "verified: false\n"
                     "delay: 1ms\n"
                     "down: { rate: 250mbit }\n"
                     "up: { rate: 100mbit }\n" },
};
const uint32_t nsp_profile_count = sizeof nsp_profiles / sizeof nsp_profiles[0];
