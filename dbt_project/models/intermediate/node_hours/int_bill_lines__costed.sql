with

lines as (

    select * from {{ ref('stg_cur__bill_lines') }}

),

known as (

    select
        billing_month,
        payer_account_id,
        {% for basis in bases() -%}
        max(case when cost_basis = '{{ basis }}' and is_known then 1 else 0 end)
        = 1 as is_{{ basis }}_known{{ ',' if not loop.last }}
        {% endfor %}
    from {{ ref('int_bases__known') }}
    group by billing_month, payer_account_id

),

-- AWS's own split rows: their money stands only in columns of their own, and the lines
-- that they split are on the bill already.
classified as (

    select
        lines.*,
        known.is_amortized_known,
        known.is_net_amortized_known,
        known.is_public_on_demand_known,
        coalesce(split_parent_resource_id, '') <> '' as is_aws_split_row,
        coalesce(net_unblended_usd, unblended_usd) as net_usd,
        coalesce(reservation_arn, '') <> '' as is_of_reservation,
        coalesce(product_instance_type, '') as billed_type
    from lines
    left join known
        on
            lines.billing_month = known.billing_month
            and lines.payer_account_id = known.payer_account_id

),

-- The amortisation of method.md, "Cost bases". A line whose cell is empty keeps what was
-- billed; where the column is missing, the basis is unknown and so null in the end.
costed as (

    select
        *,
        case
            when line_type = 'DiscountedUsage'
                then coalesce(reservation_effective_usd, unblended_usd)
            when line_type = 'SavingsPlanCoveredUsage'
                then coalesce(savings_plan_effective_usd, unblended_usd)
            when line_type in ('SavingsPlanNegation', 'SavingsPlanUpfrontFee')
                then 0
            when line_type = 'SavingsPlanRecurringFee'
                then coalesce(
                    savings_plan_commitment_usd - coalesce(savings_plan_used_usd, 0),
                    unblended_usd
                )
            when line_type = 'RIFee'
                then coalesce(
                    reservation_unused_upfront_usd + reservation_unused_recurring_usd,
                    reservation_unused_upfront_usd,
                    reservation_unused_recurring_usd,
                    unblended_usd
                )
            when line_type = 'Fee' and is_of_reservation
                then 0
            else unblended_usd
        end as amortized_usd
    from classified

),

net_costed as (

    select
        *,
        case
            when line_type = 'DiscountedUsage'
                then coalesce(reservation_net_effective_usd, amortized_usd)
            when line_type = 'SavingsPlanCoveredUsage'
                then coalesce(savings_plan_net_effective_usd, amortized_usd)
            when line_type = 'RIFee'
                then coalesce(
                    reservation_net_unused_upfront_usd
                    + reservation_net_unused_recurring_usd,
                    reservation_net_unused_upfront_usd,
                    reservation_net_unused_recurring_usd,
                    amortized_usd
                )
            when line_type in (
                'SavingsPlanNegation', 'SavingsPlanUpfrontFee', 'SavingsPlanRecurringFee'
            )
                then amortized_usd
            when line_type = 'Fee' and is_of_reservation
                then 0
            else net_usd
        end as net_amortized_usd
    from costed

),

final as (

    select
        billing_month,
        payer_account_id,
        usage_account_id,
        region_code,
        line_type,
        product_code,
        product_family,
        usage_type,
        operation,
        resource_id,
        usage_started_at,
        usage_amount,
        product,
        resource_tags,
        is_of_reservation,
        is_aws_split_row,
        -- A line that lacks what decides it carries none: null would be neither.
        coalesce(
            not is_aws_split_row
            and line_type in ('Usage', 'DiscountedUsage', 'SavingsPlanCoveredUsage')
            and operation like 'RunInstances%'
            and resource_id like 'i-%'
            and (
                product_family in ('Compute Instance', 'Compute Instance (bare metal)')
                -- Spot lines come without product attributes.
                or (
                    coalesce(product_family, '') = ''
                    and {{ regexp_like(
                        'usage_type', '(^|-)' ~ instance_usage() ~ '(:|$)'
                    ) }}
                )
            ),
            false
        ) as carries_instance,
        {{ carries_pod() }} as carries_pod,
        coalesce(
            nullif(billed_type, ''),
            {{ regexp_extract('usage_type', ':([a-z0-9-]+[.][a-z0-9-]+)$', 1) }}
        ) as instance_type,
        -- us-east-1 has no prefix.
        {{ regexp_extract('usage_type', '^([A-Z0-9]+)-' ~ instance_usage(), 1) }}
            as usage_type_prefix,
        unblended_usd,
        case when is_amortized_known then amortized_usd end::decimal(38, 10)
            as amortized_usd,
        case when is_net_amortized_known then net_amortized_usd end::decimal(38, 10)
            as net_amortized_usd,
        case
            when is_public_on_demand_known then coalesce(public_on_demand_usd, 0)
        end::decimal(38, 10) as public_on_demand_usd
    from net_costed

)

select * from final
