{%- set with_totals = ['fct_daily_costs'] -%}
{%- set marts = with_totals + [
    'rpt_month_by_account', 'cur_table', 'fct_split_line_items'
] -%}
with

{{ told_bases() }},

pods as (

    select
        billing_month,
        payer_account_id,
        {% for basis in bases() -%}
        sum({{ pod_money(basis, 'split') }})
        + sum({{ pod_money(basis, 'unused') }}) as {{ basis }}_usd
        {{- ',' if not loop.last }}
        {% endfor %}
    from {{ source('split', 'pod_costs') }}
    group by billing_month, payer_account_id

),

marts as (

    {% for mart in with_totals -%}
    select
        '{{ mart }}' as mart,
        billing_month,
        payer_account_id,
        {% for basis in bases() -%}
        sum({{ basis }}_total_usd) as {{ basis }}_usd{{ ',' if not loop.last }}
        {% endfor %}
    from {{ ref(mart) }}
    group by billing_month, payer_account_id
    union all
    {% endfor -%}
    select
        'rpt_month_by_account' as mart,
        billing_month,
        payer_account_id,
        {% for basis in bases() -%}
        sum({{ basis }}_split_usd + {{ basis }}_unused_usd) as {{ basis }}_usd
        {{- ',' if not loop.last }}
        {% endfor %}
    from {{ ref('rpt_month_by_account') }}
    group by billing_month, payer_account_id
    union all
    select
        'cur_table' as mart,
        billing_month,
        bill_payer_account_id as payer_account_id,
        {% for basis in bases() -%}
        sum({{ basis }}_cost) as {{ basis }}_usd{{ ',' if not loop.last }}
        {% endfor %}
    from {{ ref('cur_table') }}
    group by billing_month, bill_payer_account_id
    union all
    select
        'fct_split_line_items' as mart,
        billing_month,
        bill_payer_account_id as payer_account_id,
        null as unblended_usd,
        sum(split_line_item_split_cost) + sum(split_line_item_unused_cost) as amortized_usd,
        sum(split_line_item_net_split_cost) + sum(split_line_item_net_unused_cost)
            as net_amortized_usd,
        sum(split_line_item_public_on_demand_split_cost)
        + sum(split_line_item_public_on_demand_unused_cost) as public_on_demand_usd
    from {{ ref('fct_split_line_items') }}
    group by billing_month, bill_payer_account_id

),

-- AWS has no columns for unblended split cost: its rows are held against the others.
compared as (

    select
        bases.billing_month,
        bases.payer_account_id,
        bases.cost_basis,
        listed.mart,
        coalesce({{ of_basis('pods') }}, 0)::decimal(38, 10) as expected_usd,
        coalesce(
            case
                when marts.mart = 'fct_split_line_items' and bases.cost_basis = 'unblended'
                    then pods.unblended_usd
                else {{ of_basis('marts') }}
            end,
            0
        )::decimal(38, 10) as actual_usd
    from bases
    cross join
        (
            values
            {% for mart in marts -%}
            ('{{ mart }}'){{ ',' if not loop.last }}
            {% endfor %}
        ) as listed (mart)
    left join pods
        on
            bases.billing_month = pods.billing_month
            and bases.payer_account_id = pods.payer_account_id
    left join marts
        on
            bases.billing_month = marts.billing_month
            and bases.payer_account_id = marts.payer_account_id
            and listed.mart = marts.mart

),

{{ worst_of_compared('mart', 'marts') }}

select * from final
