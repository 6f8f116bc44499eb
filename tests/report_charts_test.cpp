// The report's markup and charts: escaping, numbers, tables, where shapes are drawn, whether colours can be read.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <regex>
#include <set>

#include "tests/support/compare.h"
#include "unlearn/report/charts.h"
#include "unlearn/report/html.h"
#include "unlearn/report/sections.h"

namespace lethe::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::vector<uint8_t> bytes_of(const std::string& text) { return {text.begin(), text.end()}; }

TEST(ReportHtml, EscapesWhatHtmlWouldRead) {
    EXPECT_EQ(report::escaped("a<b> & \"c\" 'd'\n"), "a&lt;b&gt; &amp; &quot;c&quot; &#39;d&#39;\n");
    EXPECT_EQ(report::escaped(std::string("\x01\x7f", 2)), "\uFFFD\uFFFD");
    EXPECT_EQ(report::element("p", "<b>", {{"title", "\"<"}}), "<p title=\"&quot;&lt;\"><b></p>");
    EXPECT_EQ(report::heading(2, "a<b"), "<h2>a&lt;b</h2>\n");
}

TEST(ReportHtml, Base64IsThatOfRfc4648) {
    const std::map<std::string, std::string> vectors{{"", ""},
                                                     {"f", "Zg=="},
                                                     {"fo", "Zm8="},
                                                     {"foo", "Zm9v"},
                                                     {"foob", "Zm9vYg=="},
                                                     {"fooba", "Zm9vYmE="},
                                                     {"foobar", "Zm9vYmFy"}};
    for (const auto& [text, code] : vectors) EXPECT_EQ(report::base64(bytes_of(text)), code);
    EXPECT_EQ(report::base64(std::vector<uint8_t>{0xff, 0xef, 0xbe}), "/+++");
}

TEST(ReportHtml, WritesNumbersForPeople) {
    EXPECT_EQ(report::grouped(7), "7");
    EXPECT_EQ(report::grouped(1000), "1,000");
    EXPECT_EQ(report::grouped(-1234567), "\u22121,234,567");
    EXPECT_EQ(report::fixed(-1.25, 1), "\u22121.2");  // to even, as printf
    EXPECT_EQ(report::fixed(-0.001, 2), "0.00");
    EXPECT_EQ(report::fixed(std::nan(""), 2), "\u2013");
    EXPECT_EQ(report::percent({1, 3}), "33.33\u00A0%");
    EXPECT_EQ(report::percent({0, 0}), "\u2013");
    EXPECT_EQ(report::p_value(0.0009), "p < 0.001");
    EXPECT_EQ(report::p_value(0.25), "p = 0.250");
    EXPECT_EQ(report::plural(1, "step", "steps"), "1 step");
    EXPECT_EQ(report::plural(1200, "step", "steps"), "1,200 steps");
}

TEST(ReportHtml, TablesHaveCaptionsAndScopes) {
    report::Table table("a<b", {{"method", false}, {"n"}});
    table.row("x", {"1"});
    table.group("more");
    table.row("y", {"2"});
    EXPECT_EQ(table.html(),
              "<div class=\"scroll\" role=\"group\" tabindex=\"0\" aria-label=\"Table: a&lt;b\"><table><caption>a&lt;b"
              "</caption>\n<thead><tr><th scope=\"col\">method</th><th scope=\"col\" class=\"n\">n</th></tr></thead>\n"
              "<tbody><tr><th scope=\"row\">x</th><td class=\"n\">1</td></tr>\n</tbody>\n"
              "<tbody><tr><th scope=\"rowgroup\" colspan=\"2\">more</th></tr>\n"
              "<tr><th scope=\"row\">y</th><td class=\"n\">2</td></tr>\n</tbody></table></div>\n");
    EXPECT_THAT(error_of([&] { table.row("z", {"1", "2"}); }), HasSubstr("a row of 3 cells in a table of 2 columns"));
}

TEST(ReportCharts, PlacesValues) {
    report::Plot plot{.left = 40, .right = 340, .top = 20, .bottom = 220, .x = {1, 100}, .y = {-1, 1}, .log_x = true};
    EXPECT_DOUBLE_EQ(plot.at_x(1), 40);
    EXPECT_DOUBLE_EQ(plot.at_x(10), 190);  // halfway in its logarithm
    EXPECT_DOUBLE_EQ(plot.at_x(100), 340);
    EXPECT_DOUBLE_EQ(plot.at_y(0), 120);
    EXPECT_DOUBLE_EQ(plot.at_y(0.5), 70);
    EXPECT_DOUBLE_EQ(plot.at_y(7), 20);  // at the edge
    EXPECT_DOUBLE_EQ(plot.at_y(-7), 220);
    plot.inset = 30;
    EXPECT_DOUBLE_EQ(plot.at_x(1), 70);
    EXPECT_DOUBLE_EQ(plot.at_x(100), 310);
    plot.inset = 0;
    plot.log_x = false;
    EXPECT_DOUBLE_EQ(plot.at_x(34), 140);  // a third of the way
}

// The plot of a curve chart whose widest y label is "100" lies between 8 + 3 * 6.2 + 6 = 32.6 and 360 - 14 = 346, and
// between 26 and 236 - 40 = 196.
TEST(ReportCharts, DrawsCurvesWhereTheyBelong) {
    const report::Mark mark{"s3", 1, 1};
    report::CurveChart chart{.alternative = "told <to> all", .x_label = "step", .y_label = "per cent", .curves = {}};
    chart.x = {1, 100};
    chart.y = {0, 100};
    chart.log_x = true;
    chart.curves = {{"adv", mark, {{1, 100}, {10, 50, Interval{0, 100}}, {100, 0}}}};
    const std::string svg = report::draw(chart);
    EXPECT_THAT(svg, HasSubstr("<polyline class=\"curve s3 d1\" points=\"32.6,26 189.3,111 346,196\">"));
    EXPECT_THAT(svg, HasSubstr("<line class=\"whisker s3\" x1=\"189.3\" y1=\"196\" x2=\"189.3\" y2=\"26\">"));
    EXPECT_THAT(svg, HasSubstr("<path class=\"mark s3\" transform=\"translate(346 196)\""));
    EXPECT_THAT(svg, HasSubstr("role=\"img\" aria-label=\"told &lt;to&gt; all\""));

    chart.curves[0].points = {{1, 100}, {10, 75}, {20, std::nan("")}, {30, 50}, {100, 25}};
    const std::string interrupted = report::draw(chart);
    EXPECT_THAT(interrupted, HasSubstr("points=\"32.6,26 189.3,68.5\""));
    EXPECT_THAT(interrupted, HasSubstr(",111 346,153.5\""));

    chart.curves[0].points = {{0, 1}};
    EXPECT_THAT(error_of([&] { report::draw(chart); }), HasSubstr("'adv' has a point at x = 0"));
}

// Rows are 34 high from 8 on, between 12 and 348; marks lie 10 above a row's lower edge.
TEST(ReportCharts, DrawsRowsWhereTheyBelong) {
    const report::Mark mark{"s2", 0, 1};
    const std::string dots = report::draw(report::DotChart{"", "", {{"a", "", {}}, {"b", "", {{25, mark}}}}, {0, 100}});
    EXPECT_THAT(dots, HasSubstr("<path class=\"mark s2\" transform=\"translate(96 66)\""));

    // 0 to 3 in bins of 0.1, each 11.2 wide; the fullest bar is 18 high. The 3 lies in the last bin.
    const std::string bars = report::draw(report::HistogramChart{"", "", {{"a", "", mark, {1.05, 1.05, 3}}}});
    EXPECT_THAT(bars, HasSubstr("<rect class=\"bars s2\" x=\"124.4\" y=\"24\" width=\"10.4\" height=\"18\">"));
    EXPECT_THAT(bars, HasSubstr("<rect class=\"bars s2\" x=\"337.2\" y=\"33\" width=\"10.4\" height=\"9\">"));

    const std::string box = report::draw(report::BoxChart{"", "", {{"a", "", mark, -2, -1, 0, 1, 2}}});
    EXPECT_THAT(box, HasSubstr("<line class=\"whisker s2\" x1=\"12\" y1=\"32\" x2=\"348\" y2=\"32\">"));
    EXPECT_THAT(box, HasSubstr("<rect class=\"open s2\" x=\"96\" y=\"26\" width=\"168\" height=\"12\">"));
    EXPECT_THAT(box, HasSubstr("translate(180 32)"));
}

TEST(ReportCharts, CountsIntoBins) {
    EXPECT_THAT(report::bin_counts({-0.1, 0, 0.5, 1, 2.99, 3, 3.1, std::nan("")}, 0, 1, 3), ElementsAre(2, 1, 2));
}

TEST(ReportStyle, MarksTellMethodsApart) {
    report::Marks marks;
    std::set<std::tuple<std::string, int, int>> seen;
    for (int i = 0; i < 40; ++i) {
        const report::Mark mark = marks.of("m" + std::to_string(i));
        seen.insert({mark.colour, mark.dash, mark.shape});
        if (i == 0) continue;
        const report::Mark before = marks.of("m" + std::to_string(i - 1));
        EXPECT_NE(mark.dash, before.dash);  // neighbours differ without their colours, too
        EXPECT_NE(mark.shape, before.shape);
    }
    EXPECT_EQ(seen.size(), 40u);
}

// WCAG 2.1, "contrast ratio" and "relative luminance".
double luminance(const std::string& hex) {
    const auto channel = [&](std::size_t i) {
        const std::string digits = hex.size() == 3 ? std::string(2, hex[i]) : hex.substr(2 * i, 2);
        const double c = std::stoi(digits, nullptr, 16) / 255.0;
        return c <= 0.03928 ? c / 12.92 : std::pow((c + 0.055) / 1.055, 2.4);
    };
    return 0.2126 * channel(0) + 0.7152 * channel(1) + 0.0722 * channel(2);
}
double contrast(const std::string& a, const std::string& b) {
    const auto [low, high] = std::minmax({luminance(a), luminance(b)});
    return (high + 0.05) / (low + 0.05);
}

TEST(ReportStyle, ColoursAreReadableInEveryScheme) {
    EXPECT_NEAR(contrast("000", "ffffff"), 21, 1e-9);
    EXPECT_NEAR(contrast("777777", "fff"), 4.478, 1e-3);  // the grey that just fails
    static const std::regex block(R"(:root\{([^}]*)\})"), colour("--([a-z0-9]+):#([0-9a-f]+)");
    const std::string css = report::style_sheet;
    int schemes = 0;
    for (std::sregex_iterator scheme(css.begin(), css.end(), block), end; scheme != end; ++scheme, ++schemes) {
        const std::string text = (*scheme)[1];
        std::map<std::string, std::string> colours;
        for (std::sregex_iterator match(text.begin(), text.end(), colour); match != end; ++match)
            colours[(*match)[1]] = (*match)[2];
        for (const char* name : {"ink", "soft", "good", "bad", "s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7"})
            for (const char* paper : {"paper", "card", "faint"})
                EXPECT_GE(contrast(colours.at(name), colours.at(paper)), 4.5) << "scheme " << schemes << ", " << name;
    }
    EXPECT_EQ(schemes, 3);  // light, dark, print
}

// Two runs: of `a` 50 and 25 % of the copies come back, of `b`, which only one run has, none; c diverged, of d it is
// not known; a run that corrects images has no place here.
TEST(ReportFrontier, APointForEachMethodOfEachRunThatForgets) {
    const auto method = [](const std::string& name, int64_t correct, double reemergence) {
        report::MethodRecord record;
        record.result.method = name;
        record.result.test.accuracy = {correct, 200};
        record.result.reemergence = reemergence;
        return record;
    };
    std::vector<report::RunRecord> runs(3);
    runs[0].name = "first";
    runs[0].before.method = "before";
    runs[0].before.test.accuracy = {190, 200};
    runs[0].before.reemergence = 100;
    runs[0].methods = {method("a", 180, 50), method("b", 100, 0), method("c", 20, 10), method("d", 20, std::nan(""))};
    runs[0].methods[2].result.verdict = Verdict::diverged;
    runs[1].name = "second";
    runs[1].methods = {method("a", 150, 25)};
    runs[2].config = {{"relabel", "true"}};
    runs[2].methods = {method("a", 150, 90)};
    report::Marks marks;
    const report::CurveChart chart = report::frontier_chart(runs, marks);
    ASSERT_EQ(chart.curves.size(), 3u);
    EXPECT_EQ(chart.curves[0].name, "before");
    EXPECT_EQ(chart.curves[0].points[0].x, 100);
    EXPECT_EQ(chart.curves[0].points[0].y, 95);
    ASSERT_EQ(chart.curves[1].points.size(), 3u);
    EXPECT_EQ(chart.curves[1].points[0].x, 50);
    EXPECT_EQ(chart.curves[1].points[0].y, 90);
    EXPECT_TRUE(std::isnan(chart.curves[1].points[1].y));
    EXPECT_EQ(chart.curves[1].points[2].x, 25);
    EXPECT_EQ(chart.curves[1].points[2].y, 75);
    EXPECT_EQ(chart.curves[2].points[0].y, 50);
    EXPECT_THAT(report::frontier(runs, marks), HasSubstr("What is kept against what comes back"));
    runs.erase(runs.begin(), runs.begin() + 2);
    EXPECT_EQ(report::frontier(runs, marks), "");
}

}  // namespace
}  // namespace lethe::test
