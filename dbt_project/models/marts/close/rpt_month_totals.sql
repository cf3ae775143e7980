with

lines as (

    select * from {{ ref('int_bill_lines__costed') }}

),

by_account as (

    select * from {{ ref('rpt_month_by_account') }}

),

{{ known_bases() }},

-- A Capacity Block's fee counts in the months of its hours: what this month's bill charged
-- is taken out, and what its hours cost this month is put in.
moved as (

    select
        billing_month,
        payer_account_id,
        -amortized_usd as amortized_usd,
        -net_amortized_usd as net_amortized_usd
    from {{ ref('int_capacity_block_fees__spread') }}
    union all
    select
        billing_month,
        payer_account_id,
        amortized_usd,
        net_amortized_usd
    from {{ ref('int_capacity_block_hours') }}

),

billed as (

    select
        billing_month,
        payer_account_id,
        {% for basis in bases() -%}
        {{ basis }}_usd{{ ',' if not loop.last }}
        {% endfor %}
    from lines
    where not is_aws_split_row
    union all
    select
        moved.billing_month,
        moved.payer_account_id,
        null as unblended_usd,
        case when known.is_amortized_known then moved.amortized_usd end as amortized_usd,
        case when known.is_net_amortized_known then moved.net_amortized_usd end
            as net_amortized_usd,
        null as public_on_demand_usd
    from moved
    left join known
        on
            moved.billing_month = known.billing_month
            and moved.payer_account_id = known.payer_account_id

),

bill as (

    select
        billing_month,
        payer_account_id,
        {% for basis in bases() -%}
        sum({{ basis }}_usd)::decimal(38, 10) as {{ basis }}_usd{{ ',' if not loop.last }}
        {% endfor %}
    from billed
    group by billing_month, payer_account_id

),

parts as (

    select
        billing_month,
        payer_account_id,
        {% for basis in bases() -%}
        {% for part in ['split', 'unused', 'unallocated', 'remainder'] -%}
        sum({{ basis }}_{{ part }}_usd)::decimal(38, 10) as {{ basis }}_{{ part }}_usd
        {{- ',' if not (loop.last and basis == bases()[-1]) }}
        {% endfor -%}
        {% endfor %}
    from by_account
    group by billing_month, payer_account_id

),

-- The bill stands on the left: a payer whose parts are all lost must show. Null is a basis
-- that the payer's exports do not tell.
final as (

    {% for basis in bases() -%}
    select
        bill.billing_month,
        bill.payer_account_id,
        '{{ basis }}' as cost_basis,
        bill.{{ basis }}_usd as bill_usd,
        coalesce(
            parts.{{ basis }}_split_usd, {{ zero_if_known('bill.' ~ basis ~ '_usd') }}
        )::decimal(38, 10) as pods_split_usd,
        coalesce(
            parts.{{ basis }}_unused_usd, {{ zero_if_known('bill.' ~ basis ~ '_usd') }}
        )::decimal(38, 10) as pods_unused_usd,
        coalesce(
            parts.{{ basis }}_unallocated_usd, {{ zero_if_known('bill.' ~ basis ~ '_usd') }}
        )::decimal(38, 10) as unallocated_usd,
        coalesce(
            parts.{{ basis }}_remainder_usd, {{ zero_if_known('bill.' ~ basis ~ '_usd') }}
        )::decimal(38, 10) as remainder_usd
    from bill
    left join parts
        on
            bill.billing_month = parts.billing_month
            and bill.payer_account_id = parts.payer_account_id
    {% if not loop.last %}union all{% endif %}
    {% endfor %}
)

select * from final
